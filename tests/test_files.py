"""Text from outside: whatever it holds, it ends soon, and as one ValueError."""

import pytest

from genzoo.errors import InputError
from genzoo.gate import text
from genzoo.gate.text import TooMuch

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{now}: &{now} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, now in zip("abcdefghi", "bcdefghij", strict=True)
)
YAML = {
    "a day that there is not": ("a: 2020-13-45", "month must be in 1..12"),
    "no whole number": ('a: !!int "abc"', "abc"),
    "no number": ("a: !!float x", "x"),
    "no time": ("a: !!timestamp x", "not of the kind that its tag says"),
    "no truth": ("a: !!bool x", "not of the kind that its tag says"),
    "a number of many digits": ("a: " + "9" * 5000, "digits"),
    "deep lists": ("[" * 2000, "nested deeper"),
    "deep mappings": ("{a: " * 3000, "nested deeper"),
    "deep dashes": ("- " * 5000, "nested deeper"),
    "a list of itself": ("a: &a [*a]", "nested deeper"),
    "aliases of aliases": (BOMB, "more than 1,000,000 values"),
    "a key that is a number": ("a: {1: 2}", "expected text for a key, got 1"),
    "a key that is nothing": ("null: 2", "expected text for a key, got None"),
    "code": ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
}
JSON = {
    "deep": ("[" * 100_000, "nested deeper"),
    "deep mappings": ('{"a":' * 100_000, "nested deeper"),
    "whole and deep": ("[" * 60 + "]" * 60, "nested deeper than 50"),
    "long": (str([0] * 1_000_001), "more than 1,000,000 values"),
    "half": ("{", "Expecting property name"),
}


@pytest.mark.parametrize("name", YAML)
def test_bad_yaml_is_a_value_error_of_few_words(name):
    refused(text.from_yaml, *YAML[name])


@pytest.mark.parametrize("name", JSON)
def test_bad_json_is_a_value_error_of_few_words(name):
    refused(text.from_json, *JSON[name])


def refused(parse, content, words):
    with pytest.raises(ValueError, match=words) as caught:
        parse(content)
    assert caught.type in (ValueError, TooMuch) and len(str(caught.value)) <= 300


def test_good_text_is_read_aliases_and_merges_included():
    merged = "base: &base {lr: 1.0e-3}\nvae: {<<: *base, shape: [2, 3]}"
    base = {"lr": 1e-3}
    assert text.from_yaml(merged) == {"base": base, "vae": base | {"shape": [2, 3]}}
    assert text.from_json('{"a": [1, null]}') == {"a": [1, None]}


@pytest.mark.parametrize("name", ["config.yaml", "row.json", "stages.json"])
@pytest.mark.parametrize("content", ["[" * 1000, "3", "", "\x00", '{"a": '])
def test_a_corrupt_file_of_a_run_is_named(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=f"{name} is (corrupt|empty): delete that run"):
        text.of_run(tmp_path / name)
    assert text.of_run(tmp_path / "nothing.json") is None
