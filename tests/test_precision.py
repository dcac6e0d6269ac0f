"""Training in 16 bits: networks alone compute in them, and figures hold in full precision."""

from unittest import mock

import pytest
import ranks
import torch
from torch import nn

import genzoo
from genzoo.errors import InputError
from genzoo.nets import UNet, fast_networks
from genzoo.training import precision
from genzoo.training.fitting import fit

PICTURES = {
    "autoregressive": (genzoo.Autoregressive, {"width": 8, "depth": 1}),
    "flow": (genzoo.Flow, {"width": 8, "couplings": 2}),
    "vae": (genzoo.VAE, {"width": 8, "latent_shape": (2,)}),
    "energy": (genzoo.Energy, {"hidden": 4}),
    "diffusion": (genzoo.Diffusion, {"width": 8}),
    "flow matching": (genzoo.FlowMatching, {"width": 8}),
    "gan": (genzoo.GAN, {"width": 8, "latent_shape": (2,)}),
    "vaegan": (genzoo.VAEGAN, {"width": 8, "latent_shape": (2,)}),
}


@pytest.fixture(autouse=True)
def any_processor(monkeypatch):
    """Every processor computes in bfloat16, the most of them slowly."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda accelerator: True)


def trained(name: str, **settings):
    family, arguments = PICTURES[name]
    data = ranks.pictures()
    torch.manual_seed(0)
    model = family(data.event_shape, levels=data.levels, **arguments)
    with mock.patch.object(model, "lr", 1e-2):
        fitted = fit(model, data, steps=12, check_every=6, accelerator="cpu", **settings)
    return fitted, data


def test_what_was_learned_in_16_bits_holds_in_32():
    """The loss that training saw is the loss of the same weights and draws in full precision."""
    assert set(PICTURES) == set(ranks.CASES)
    for name in PICTURES:
        fitted, data = trained(name, precision="bf16")
        assert fitted.precision == "bf16", name
        model, x = fitted.model, data.train.x
        torch.manual_seed(1)
        full = model.loss(x).detach()
        torch.manual_seed(1)
        with fast_networks(torch.bfloat16):
            fast = model.loss(x).detach()
        assert fast.dtype == full.dtype == torch.float32, name
        assert (fast - full).mean().abs() < 0.02 * full.abs().mean() + 0.02, name


def test_checks_are_in_full_precision():
    """What validation found of the chosen weights, their float32 figure is, draws apart."""
    fitted, data = trained("autoregressive", precision="bf16")
    with torch.no_grad():
        expected = -fitted.model.log_prob(data.validation.x).mean().item()
    assert fitted.validation == pytest.approx(expected, rel=1e-5)


def test_the_last_layer_keeps_its_digits():
    """A mean near 1 has steps of 2^-8 in bfloat16: what a head gives is not on that lattice."""
    net = UNet((1, 8, 8), 8, width=8)
    nn.init.normal_(net.head.weight, std=0.1)
    nn.init.constant_(net.head.bias, 1.0)
    x, e = torch.randn(4, 1, 8, 8), torch.zeros(4, 8)
    with fast_networks(torch.bfloat16), torch.no_grad():
        y = net(x, e)
    assert y.dtype == torch.float32
    assert (y != y.bfloat16().float()).float().mean() > 0.9


def test_full_precision_is_as_if_there_were_no_other():
    model = genzoo.Diffusion((1, 4, 4), levels=4, width=8)
    x = ranks.pictures().train.x[:8]
    torch.manual_seed(0)
    plain = model.loss(x)
    with fast_networks(torch.bfloat16):
        pass
    torch.manual_seed(0)
    assert torch.equal(model.loss(x), plain)


def test_a_run_in_16_bits_goes_on_as_if_it_had_not_stopped(tmp_path):
    settings = {**ranks.SETTINGS, "precision": "bf16"}
    case = ranks.CASES["diffusion"]
    whole = fit(case.model(), case.data(), tmp_path / "whole", **settings)
    stopped = [ranks.Interrupted(after=4)]
    with pytest.raises(KeyboardInterrupt):
        fit(case.model(), case.data(), tmp_path / "cut", callbacks=stopped, **settings)
    resumed = fit(case.model(), case.data(), tmp_path / "cut", **settings)
    for mine, other in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize(("asked", "found"), [("bf16", "32"), ("bf16-mixed", "32"), ("32", "32")])
def test_a_processor_without_bfloat16_computes_in_32_bits_and_says_so(asked, found, monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda accelerator: False)
    assert precision.runs_as(asked, "cpu") == found
    if asked == "bf16":
        fitted, _ = trained("flow", precision=asked)
        assert fitted.precision == found


def test_an_unknown_precision_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"no precision 'bf61'\. Did you mean 'bf16'\?"):
        trained("flow", precision="bf61")


def test_networks_are_compiled_for_the_time_of_training_alone(monkeypatch):
    compiled = []

    def to_itself(module: nn.Module) -> None:
        compiled.append(module)
        module._compiled_call_impl = module._call_impl

    monkeypatch.setattr(nn.Module, "compile", to_itself)
    fitted, _ = trained("vae", compile=True)
    assert compiled == precision.networks_of(fitted.model) and len(compiled) == 2
    assert all(network._compiled_call_impl is None for network in compiled)


def test_without_a_compiler_nothing_is_compiled(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="needs a C\\+\\+ compiler"):
        trained("vae", compile=True)


def test_the_layout_of_images_is_as_it_was_when_training_ends():
    model = UNet((1, 16, 16), 8, width=8)
    kernel = next(weight for weight in model.parameters() if weight.dim() == 4 and len(weight) > 1)
    before = kernel.stride()
    with precision.channels_last(model, (1, 16, 16)):
        assert kernel.is_contiguous(memory_format=torch.channels_last)
    assert kernel.stride() == before


def test_averages_of_a_checkpoint_take_the_layout_of_their_weights():
    weight = nn.Parameter(torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last))
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    kept = optimizer.state[weight]["exp_avg"]
    optimizer.state[weight]["exp_avg"] = kept.contiguous(memory_format=torch.contiguous_format)
    precision.lay_out(optimizer)
    assert optimizer.state[weight]["exp_avg"].stride() == weight.stride()
    assert torch.equal(optimizer.state[weight]["exp_avg"], kept)
