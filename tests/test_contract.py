"""The contract that every family keeps, over `genzoo.FAMILIES` x shapes x conditions.

A check is a function of a `Case` and a folder; a family that joins the tuple gets every check, and
so does the seventh one that a test below defines.
"""

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

import genzoo
from genzoo import grid, serialization
from genzoo.data.dataset import Data, DataSet, Split
from genzoo.families import HYBRIDS
from genzoo.model import GenerativeModel, Latent, Likelihood
from genzoo.nets import Condition, is_default
from genzoo.training.fitting import quiet

pytestmark = pytest.mark.usefixtures("few_levels")

CONDITIONS = {"none": 0, "labels": 3, "vectors": 5}
# every shape without conditions and with those of one kind, every kind with points and with images
SHAPES = {
    (2,): ("none", "labels"),
    (16,): ("none", "vectors"),
    (1, 8, 8): ("none", "vectors"),
    (3, 8, 12): ("none", "labels"),
}
N = 4

# Arguments that keep a model tiny, given to whichever family has them; any other argument keeps its
# default.
SMALL = {
    "width": 8,
    "depth": 1,
    "kernel": 3,
    "couplings": 2,
    "hidden": 20,
    "bins": 4,
    "components": 2,
    "latent_shape": (3,),
    "steps": 3,
    "sample_steps": 3,
    "buffer": 16,
    "fourier": 2,
}


@dataclass(frozen=True)
class Case:
    family: type[GenerativeModel]
    shape: tuple[int, ...]
    kind: str

    def __str__(self) -> str:
        return f"{self.family.__name__}-{'x'.join(map(str, self.shape))}-{self.kind}"

    @property
    def condition(self) -> int:
        return CONDITIONS[self.kind]

    def arguments(self, levels: int = 0) -> dict:
        own = inspect.signature(self.family).parameters
        small = {name: value for name, value in SMALL.items() if name in own}
        return {"event_shape": self.shape, "condition": self.condition, "levels": levels, **small}

    def model(self, levels: int = 0) -> GenerativeModel:
        return self.family(**self.arguments(levels))

    def perturbed(self) -> GenerativeModel:
        """In evaluation mode, with no parameter left at a special value such as zero."""
        model = self.model()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return model.eval()

    def x(self, n: int = N, levels: int = 0) -> Tensor:
        return grid.quantise(0.5 * torch.randn(n, *self.shape), levels)

    def c(self, n: int = N) -> Tensor | None:
        if self.kind == "labels":
            return torch.arange(n) % self.condition
        return torch.randn(n, self.condition) if self.kind == "vectors" else None

    def not_given(self, c: Tensor, rows) -> Tensor:
        c = c.clone()
        c[rows] = -1 if self.kind == "labels" else torch.nan
        return c

    def data(self, levels: int = 0) -> DataSet:
        splits = [Split(self.x(n, levels), self.c(n)) for n in (4 * N, N, N)]
        return DataSet("made up", *splits, levels=levels, condition=self.condition)


def log_prob(model: GenerativeModel, x: Tensor, c: Tensor | None) -> Tensor | None:
    """`log_prob` under a fixed seed; None where the model says in a sentence that there is none."""
    torch.manual_seed(1)
    try:
        return model.log_prob(x, c)
    except NotImplementedError as error:
        assert_sentence(error)
        return None


def samples(model: GenerativeModel, c: Tensor | None, n: int = N) -> Tensor:
    torch.manual_seed(1)
    return model.sample(n, c)


def assert_sentence(error: BaseException) -> None:
    assert len(str(error).split()) >= 4, f"not a sentence: {error}"
    assert str(error).endswith("."), f"not a sentence: {error}"


# --------------------------------------------------------------------------------------- the checks


def check_samples(case: Case, folder: Path) -> None:
    model, c = case.model().eval(), case.c()
    first = samples(model, c)
    assert first.shape == (N, *case.shape)
    assert first.dtype == torch.float32
    assert first.isfinite().all()
    assert not first.requires_grad
    with torch.inference_mode():
        assert torch.equal(samples(model, c), first)
    assert not torch.equal(model.sample(N, c), first)
    if case.condition:
        assert model.sample(1).shape == (1, *case.shape)


def check_log_prob(case: Case, folder: Path) -> None:
    model, x, c = case.model().eval(), case.x(), case.c()
    assert isinstance(model.likelihood, Likelihood)
    nats = log_prob(model, x, c)
    if nats is None:
        assert model.likelihood >= Likelihood.ESTIMATE
        return
    assert model.likelihood < Likelihood.NONE
    assert nats.shape == (N,)
    assert nats.isfinite().all()
    for k in (1, 3):
        assert model.bound(x, c, k=k).shape == (N,)
    with torch.inference_mode():
        torch.testing.assert_close(log_prob(model, x, c), nats)
    if (
        model.likelihood == Likelihood.EXACT
    ):  # a row's density does not depend on the batch it is in
        one = torch.cat(
            [model.log_prob(x[i : i + 1], None if c is None else c[i : i + 1]) for i in range(N)]
        )
        torch.testing.assert_close(one, nats, rtol=1e-4, atol=1e-4)


def check_gradients(case: Case, folder: Path) -> None:
    """Every parameter is reached within three steps.

    A head that starts at zero hides what is behind it at first.
    """
    model, x, c = case.model().train(), case.x(), case.c()
    if c is not None:
        c = case.not_given(c, 0)
    optimiser = torch.optim.SGD(model.parameters(), 1e-3)
    reached = set()
    for _ in range(3):
        optimiser.zero_grad()
        loss = model.loss(x, c)
        assert loss.shape == (N,)
        assert loss.isfinite().all()
        loss.mean().backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                assert parameter.grad.isfinite().all(), name
                if parameter.grad.abs().sum() > 0:
                    reached.add(name)
        optimiser.step()
    assert reached == {name for name, _ in model.named_parameters()}


def check_two_steps(case: Case, folder: Path) -> None:
    model = case.model()
    before = {name: value.clone() for name, value in model.named_parameters()}
    with quiet():
        trainer = L.Trainer(
            max_epochs=1,
            limit_train_batches=2,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=folder,
        )
        trainer.fit(model, Data(case.data(), batch_size=N))
    metrics = trainer.callback_metrics
    assert "train_loss" in metrics
    assert all(value.isfinite() for value in metrics.values())
    if model.monitor is not None and model.likelihood < Likelihood.NONE:
        assert model.monitor in metrics
    for part, module in [("", model), *model.named_children()]:
        names = [f"{part}.{name}".strip(".") for name, _ in module.named_parameters()]
        moved = [
            not torch.equal(before[name], dict(model.named_parameters())[name]) for name in names
        ]
        assert any(moved) or not names, f"{part} did not move"


def check_not_given(case: Case, folder: Path) -> None:
    """No condition, a label of -1 and a row of NaN are the same thing.

    A condition that is given makes a difference.
    """
    if not case.condition:
        return
    model, x, given = case.perturbed(), case.x(), case.c()
    nothing = case.not_given(given, slice(None))
    some = case.not_given(given, slice(0, N // 2))
    assert samples(model, nothing).isfinite().all()
    if hasattr(model, "set_log_z"):
        model.set_log_z(0.0)
    describe = log_prob if model.likelihood < Likelihood.NONE else lambda m, x, c: samples(m, c)
    none, full = describe(model, x, None), describe(model, x, given)
    torch.testing.assert_close(describe(model, x, nothing), none)
    mixed = describe(model, x, some)
    torch.testing.assert_close(mixed[: N // 2], none[: N // 2], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mixed[N // 2 :], full[N // 2 :], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(none, full)


def check_wrong_conditions(case: Case, folder: Path) -> None:
    """Each is a ValueError that says what was expected, from whichever method is called."""
    model, x, width = case.model().eval(), case.x(), case.condition
    wrong = [(torch.zeros(N, dtype=torch.long), "unconditional")]
    if width:
        wrong = [
            (torch.full((N,), width), f"0 to {width - 1}"),
            (torch.full((N,), -2), f"0 to {width - 1}"),
            (torch.zeros(N, width + 1), f"{width}"),
            (torch.zeros(N), "integer labels"),
            (torch.zeros(N + 1, dtype=torch.long), f"{N} conditions"),
            (torch.zeros(N + 1, width), f"{N} conditions"),
        ]
    methods: list[Callable] = [lambda c: model.sample(N, c), lambda c: model.loss(x, c)]
    for c, words in wrong:
        for method in methods:
            with pytest.raises(ValueError, match=words) as caught:
                method(c)
            assert_sentence(caught.value)


def check_wrong_events(case: Case, folder: Path) -> None:
    """Events of another shape, or off the grid, are refused, not given a number."""
    if case.condition:
        return
    for levels in (0, 17):
        model, x = case.model(levels).eval(), case.x(levels=levels)
        methods: list[Callable] = [model.loss]
        if model.likelihood < Likelihood.NONE:
            methods += [model.log_prob, model.bound]
        if model.latent != Latent.NONE:
            methods.append(model.encode)
        other_shapes = [x[0], x.unsqueeze(1), x.unsqueeze(-1), torch.cat([x, x], 1)]
        far = [grid.to_level(x, levels).float(), x.index_fill(0, torch.tensor(1), 50.0)]
        off_grid = [(x + 1) / 2, x + 0.3 / 17, grid.to_level(x, levels), *far]
        for method in methods:
            for wrong in other_shapes:
                with pytest.raises(ValueError, match="events of shape") as caught:
                    method(wrong)
                assert_sentence(caught.value)
            if levels:
                wrong_values = far if method == model.encode else off_grid
                for wrong in wrong_values:
                    with pytest.raises(
                        ValueError, match=r"levels, of which|floating-point"
                    ) as caught:
                        method(wrong)
                    assert_sentence(caught.value)


def check_configuration(case: Case, folder: Path) -> None:
    """Every argument is kept, unmodified, under its name.

    The configuration is plain and rebuilds the model.
    """
    arguments = case.arguments() | {"lr": 0.0123}
    model = case.family(**arguments)
    for name, parameter in inspect.signature(case.family).parameters.items():
        kept = getattr(model, name)
        assert kept == arguments.get(name, parameter.default) or is_default(kept), name
    config = json.loads(json.dumps(model.config()))
    again = serialization.build(config, (case.family,))
    assert again.config() == model.config()
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in model.state_dict().items()
    }


def check_save_and_load(case: Case, folder: Path) -> None:
    model, x, c = case.perturbed(), case.x(), case.c()
    again = genzoo.load(genzoo.save(model, folder / "model"), families=(case.family,))
    assert type(again) is type(model)
    assert again.likelihood == model.likelihood
    assert not again.training
    state = again.state_dict()
    assert all(
        torch.equal(value, state[name]) or value.isnan().any()
        for name, value in model.state_dict().items()
    )
    torch.testing.assert_close(samples(again, c), samples(model, c), rtol=0, atol=0)
    torch.testing.assert_close(log_prob(again, x, c), log_prob(model, x, c), rtol=0, atol=0)


def check_latents(case: Case, folder: Path) -> None:
    model, x, c = case.model().eval(), case.x(), case.c()
    shape = model.latent_shape
    available = {"encode": x, "decode": torch.randn(N, *(shape or (1,)))}
    for name, given in available.items():
        try:
            result = getattr(model, name)(given, c)
        except NotImplementedError as error:
            assert_sentence(error)
            # what cannot be decoded would be no latent
            assert shape is None and model.latent == Latent.NONE
        else:
            assert shape is not None and model.latent != Latent.NONE
            assert result.shape == (N, *(shape if name == "encode" else case.shape))
            assert result.isfinite().all()


def check_grid(case: Case, folder: Path) -> None:
    """Models of data with levels generate nothing off the grid and have a finite loss on it."""
    if case.condition:
        return
    for levels in (17, 5):
        model, x = case.model(levels).eval(), case.x(levels=levels)
        drawn = model.sample(N)
        assert torch.equal(drawn, grid.quantise(drawn, levels))
        torch.testing.assert_close(drawn, grid.to_grid(grid.to_level(drawn, levels), levels))
        assert model.loss(x).isfinite().all()
        edges = torch.stack(
            [torch.full(case.shape, value) for value in (1 / levels - 1, 1 - 1 / levels)]
        )
        nats = log_prob(model, edges, None)
        assert nats is None or nats.isfinite().all()


CHECKS = [
    check_samples,
    check_log_prob,
    check_gradients,
    check_two_steps,
    check_not_given,
    check_wrong_conditions,
    check_wrong_events,
    check_configuration,
    check_save_and_load,
    check_latents,
    check_grid,
]


def cases(family: type[GenerativeModel]) -> list[Case]:
    return [Case(family, shape, kind) for shape, kinds in SHAPES.items() for kind in kinds]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize(
    "case", [case for family in (*genzoo.FAMILIES, *HYBRIDS) for case in cases(family)], ids=str
)
def test_contract(case: Case, check: Callable, tmp_path: Path) -> None:
    check(case, tmp_path)


# ----------------------------------------------------------------------------------------- resuming


def check_resume(case: Case, folder: Path) -> None:
    """A run that was interrupted at half ends with the weights of one that was not."""
    torch.manual_seed(0)
    data = case.data(levels=5)
    options = {
        "steps": 12,
        "batch_size": N,
        "check_every": 4,
        "seed": 3,
        "accelerator": "cpu",
        "patience": 100,
    }

    def model(seed: int) -> GenerativeModel:
        torch.manual_seed(seed)
        return case.model(levels=5)

    genzoo.fit(straight := model(0), data, folder / "straight", **options)
    with pytest.raises(KeyboardInterrupt):
        genzoo.fit(interrupted(model(0), after=6), data, folder / "resumed", **options)
    # its own start must not matter
    fitted = genzoo.fit(resumed := model(1), data, folder / "resumed", **options)
    assert fitted.steps == 12
    for name, value in straight.state_dict().items():
        torch.testing.assert_close(
            resumed.state_dict()[name], value, rtol=0, atol=0, equal_nan=True, msg=name
        )
    ends = [
        torch.load(folder / run / "last.ckpt", weights_only=True) for run in ("straight", "resumed")
    ]
    assert ends[0]["global_step"] == ends[1]["global_step"]
    for key in ("optimizer_states", "lr_schedulers"):
        torch.testing.assert_close(ends[0][key], ends[1][key], rtol=0, atol=0)


def interrupted(model: GenerativeModel, after: int) -> GenerativeModel:
    """The model, with a user who presses Ctrl-C in the step after ``after`` others."""
    prepare, steps = model.prepare, iter(range(after))

    def once_too_often(batch):
        if model.training and next(steps, None) is None:
            raise KeyboardInterrupt
        return prepare(batch)

    model.prepare = once_too_often
    return model


@pytest.mark.parametrize("family", (*genzoo.FAMILIES, *HYBRIDS), ids=lambda family: family.__name__)
def test_a_resumed_run_ends_with_the_weights_of_a_straight_one(family, tmp_path):
    check_resume(Case(family, (1, 8, 8), "labels"), tmp_path)


# --------------------------------------------------------------------------------- a seventh family


class Gaussian(GenerativeModel):
    """All features independent and normal: a whole family, with no training code."""

    def __init__(
        self, event_shape: tuple[int, ...], condition: int = 0, levels: int = 0, lr: float = 1e-2
    ):
        super().__init__(event_shape, condition, levels, lr)
        self.mean = Condition(condition, self.dims)
        self.log_scale = nn.Parameter(torch.zeros(self.event_shape))

    def distribution(self, n: int, c: Tensor | None) -> Independent:
        return Independent(
            Normal(self.mean(c, n).view(n, *self.event_shape), self.log_scale.exp()),
            len(self.event_shape),
        )

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        self.require_events(x)
        return self.distribution(len(x), c).log_prob(x)

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        return self.on_grid(self.distribution(n, c).sample())


def test_a_seventh_family_needs_one_class_and_one_entry(tmp_path, monkeypatch):
    for case in cases(Gaussian):
        for check in CHECKS:
            torch.manual_seed(0)
            check(case, tmp_path / str(case) / check.__name__)
    check_resume(Case(Gaussian, (1, 8, 8), "labels"), tmp_path)

    folder = genzoo.save(Gaussian((2,)), tmp_path / "saved")
    with pytest.raises(ValueError, match="no family 'Gaussian'"):
        genzoo.load(folder)
    assert isinstance(genzoo.load(folder, families=(*genzoo.FAMILIES, Gaussian)), Gaussian)
    monkeypatch.setattr("genzoo.families.FAMILIES", (*genzoo.FAMILIES, Gaussian))
    assert isinstance(genzoo.load(folder), Gaussian)

    # and it is a prior like any other
    vae = genzoo.VAE((2,), latent_shape=(3,), prior=Gaussian((3,)))
    again = genzoo.load(genzoo.save(vae, tmp_path / "vae"))
    assert isinstance(again.prior, Gaussian)
    assert again.likelihood == Likelihood.BOUND
