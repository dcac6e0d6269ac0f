"""Networks: a family works with any that keeps the contract of `genzoo.nets`.

Ours do as they say.
"""

import inspect
import json
import math
from dataclasses import dataclass
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn

import genzoo
from genzoo import Autoregressive, Diffusion, Energy, FlowMatching, grid
from genzoo.data.dataset import Data, DataSet, Split
from genzoo.distributions import parameters_of
from genzoo.errors import InputError
from genzoo.families import FAMILIES, HYBRIDS
from genzoo.model import GenerativeModel, Latent, Likelihood
from genzoo.nets import (
    MLP,
    Decoder,
    Encoder,
    Ensemble,
    Network,
    Transformer,
    TransformerBlock,
    TransformerEncoder,
    UNet,
    build_network,
    event_network,
)
from genzoo.training.fitting import quiet
from genzoo.unclip.clip import CLIP

WIDTH, LATENTS, LEVELS, N = 8, 3, 5, 4

# --------------------------------------------------------------- a network of one's own, everywhere


class Own(nn.Module):
    """Two linear maps, as anybody would write them: x and e to numbers of a given shape."""

    def __init__(self, inputs: tuple[int, ...], outputs: tuple[int, ...], embedding: int = WIDTH):
        super().__init__()
        self.outputs = outputs
        self.first = nn.Linear(math.prod(inputs) + embedding, 16)
        self.second = nn.Linear(16, math.prod(outputs))

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.first(torch.cat([x.flatten(1), e], 1)).tanh()
        return self.second(h).view(len(x), *self.outputs)


class OwnKept(Network):
    """The same, and it says what it was made of, by deriving from `Network`."""

    def __init__(self, inputs: tuple[int, ...], outputs: tuple[int, ...], embedding: int = WIDTH):
        super().__init__()
        self.inputs = inputs
        self.outputs = outputs
        self.embedding = embedding
        self.own = Own(inputs, outputs, embedding)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        return self.own(x, e)


class OwnCausal(nn.Module):
    """What it says of a feature depends on the sum of those before it, and on e."""

    def __init__(self, outputs: int, peek: bool = False):
        super().__init__()
        self.peek = peek
        self.linear = nn.Linear(1 + WIDTH, outputs)

    def forward(self, features: Tensor, e: Tensor) -> Tensor:
        total = features.cumsum(1)
        before = total if self.peek else total - features
        everywhere = e[:, None].expand(-1, features.shape[1], -1)
        return self.linear(torch.cat([before[..., None], everywhere], 2))


def own_coupling(shape: tuple[int, ...], outputs: int) -> nn.Module:
    return Own(shape, (outputs, *shape[1:]))


SMALL = {
    "width": WIDTH,
    "components": 2,
    "latent_shape": (LATENTS,),
    "steps": 3,
    "sample_steps": 3,
    "buffer": 16,
    "couplings": 2,
    "bins": 4,
}


@dataclass(frozen=True)
class Case:
    family: type[GenerativeModel]
    shape: tuple[int, ...]
    levels: int

    def __str__(self) -> str:
        return f"{self.family.__name__}-{'x'.join(map(str, self.shape))}"

    def parts(self, own: Any = Own) -> dict[str, Any]:
        """Networks of one's own, by the table in `genzoo.nets`."""
        if self.family.__name__ == "Autoregressive":
            return {"network": OwnCausal(parameters_of(2, self.levels))}
        if self.family.__name__ == "Flow":
            return {"network": own_coupling}
        likelihood = (parameters_of(2, self.levels), *self.shape)
        embedding = {"Diffusion": 2 * WIDTH, "FlowMatching": 2 * WIDTH}
        energy = self.family.__name__ == "Energy"
        made = {
            "network": lambda: own(
                self.shape,
                (1,) if energy else self.shape,
                embedding.get(self.family.__name__, WIDTH),
            ),
            "encoder": lambda: own(self.shape, (2 * LATENTS,)),
            "decoder": lambda: own((LATENTS,), likelihood),
            "generator": lambda: own((LATENTS,), self.shape),
            "critic": lambda: own(self.shape, (1,)),
        }
        taken = inspect.signature(self.family).parameters
        return {name: make() for name, make in made.items() if name in taken}

    def model(self, parts: dict[str, Any]) -> GenerativeModel:
        taken = inspect.signature(self.family).parameters
        small = {name: value for name, value in SMALL.items() if name in taken}
        return self.family(self.shape, 3, self.levels, **small, **parts)

    def x(self, n: int = N) -> Tensor:
        return grid.quantise(0.5 * torch.randn(n, *self.shape), self.levels)

    def data(self) -> DataSet:
        splits = [Split(self.x(n), torch.arange(n) % 3) for n in (16, N, N)]
        return DataSet("made up", *splits, levels=self.levels, condition=3)


each_case = pytest.mark.parametrize(
    "case",
    [
        Case(family, shape, levels)
        for family in (*FAMILIES, *HYBRIDS)
        for shape, levels in [((3,), 0), ((1, 4, 4), LEVELS)]
    ],
    ids=str,
)


@each_case
def test_a_network_of_ones_own_trains_samples_and_is_measured(case, tmp_path):
    parts = case.parts()
    model = case.model(parts)
    for name, part in parts.items():
        assert getattr(model, name) is part
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
            default_root_dir=tmp_path,
        )
        trainer.fit(model, Data(case.data(), batch_size=N))
    model.eval()
    moved = [
        name for name, value in model.named_parameters() if not torch.equal(value, before[name])
    ]
    for kind in (".first.", ".linear."):
        assert any(kind in name for name in moved) == any(kind in name for name in before)

    x, c = case.x(), torch.tensor([0, 1, 2, -1])
    assert model.sample(N, c).shape == x.shape
    assert model.loss(x, c).isfinite().all()
    if isinstance(model, Energy):
        model.set_log_z(0.0)
    if model.likelihood != Likelihood.NONE:
        assert model.log_prob(x, c).isfinite().all()
    if model.latent != Latent.NONE:
        assert model.encode(x, c).isfinite().all()


def assert_alike(again: GenerativeModel, model: GenerativeModel, case: Case) -> None:
    x, c = case.x(), torch.tensor([0, 1, 2, -1])
    for ask in (lambda m: m.sample(N, c), lambda m: m.loss(x, c)):
        values = []
        for each in (again, model):
            torch.manual_seed(1)
            values.append(ask(each))
        torch.testing.assert_close(*values, rtol=0, atol=0)


@each_case
def test_a_network_of_ones_own_is_given_again_when_its_model_is_loaded(case, tmp_path):
    model = case.model(case.parts()).eval()
    folder = genzoo.save(model, tmp_path / "model")
    with pytest.raises(InputError, match=r"own.*genzoo.load\(path, \w+=mine\)"):
        genzoo.load(folder)
    assert_alike(genzoo.load(folder, **case.parts()), model, case)


@each_case
def test_a_network_that_keeps_its_arguments_is_rebuilt(case, tmp_path):
    parts = case.parts(OwnKept)
    if not all(isinstance(part, Network) for part in parts.values()):
        return
    model = case.model(parts).eval()
    again = genzoo.load(genzoo.save(model, tmp_path / "model"))
    for name in parts:
        assert isinstance(getattr(again, name), OwnKept)
    assert_alike(again, model, case)


@each_case
def test_a_default_network_is_left_out_of_the_configuration(case):
    arguments = case.model({}).config()["arguments"]
    for name in ("network", "encoder", "decoder", "generator", "critic"):
        assert arguments.get(name) is None


@each_case
def test_an_answer_of_the_wrong_shape_is_a_sentence_and_no_broadcast(case):
    if case.family.__name__ in ("Flow", "Autoregressive"):
        return

    def own(inputs: tuple[int, ...], outputs: tuple[int, ...], embedding: int = WIDTH) -> Own:
        return Own(inputs, (1, *outputs), embedding)

    with pytest.raises(ValueError, match=r"The network Own must return \(4, .*got \(4, "):
        case.model(case.parts(own)).loss(case.x())


@pytest.mark.parametrize("family", [Diffusion, FlowMatching])
@pytest.mark.parametrize("network", [UNet, MLP, Transformer], ids=lambda n: n.__name__)
def test_ours_can_be_exchanged_and_are_kept(family, network, tmp_path):
    shape = (6,) if network is MLP else (1, 8, 8)
    more = {"heads": 2} if network is Transformer else {}
    options = {"steps": 2, "width": WIDTH, "network": network(shape, 2 * WIDTH, WIDTH, 2, **more)}
    model = family(shape, 3, LEVELS, **options).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    again = genzoo.load(genzoo.save(model, tmp_path / "model"))
    assert type(again.network) is network
    assert json.loads(json.dumps(again.config())) == json.loads(json.dumps(model.config()))
    assert_alike(again, model, Case(family, shape, LEVELS))


def test_encoders_can_be_exchanged(tmp_path):
    encoder = TransformerEncoder((1, 8, 8), 2 * LATENTS, WIDTH, WIDTH, 1, heads=2)
    vae = genzoo.VAE((1, 8, 8), 3, LEVELS, latent_shape=(LATENTS,), width=WIDTH, encoder=encoder)
    energy = Energy(
        (4,), 3, LEVELS, width=WIDTH, network=TransformerEncoder((4,), 1, WIDTH, WIDTH, 1, heads=2)
    )
    for model in (vae.eval(), energy.eval()):
        again = genzoo.load(genzoo.save(model, tmp_path / type(model).__name__))
        x = grid.quantise(0.5 * torch.randn(N, *model.event_shape), LEVELS)
        torch.testing.assert_close(again.features(x), model.features(x), rtol=0, atol=0)


def test_a_diffusion_over_levels_takes_a_transformer():
    for shape, outputs in [((2, 8, 8), 2 * LEVELS), ((6,), 6 * LEVELS)]:
        network = Transformer(shape, 2 * WIDTH, WIDTH, 1, heads=2, outputs=outputs)
        options = {"prediction": "levels", "width": WIDTH, "network": network}
        model = Diffusion(shape, levels=LEVELS, **options)
        assert model.loss(grid.quantise(torch.randn(N, *shape), LEVELS)).isfinite().all()


def test_a_network_that_looks_ahead_is_no_conditional():
    outputs = parameters_of(2, 0)
    Autoregressive((5,), width=WIDTH, components=2, network=OwnCausal(outputs))
    with pytest.raises(ValueError, match="OwnCausal is not causal"):
        Autoregressive((5,), width=WIDTH, components=2, network=OwnCausal(outputs, peek=True))


def test_an_own_causal_network_samples_what_it_states():
    """Of 3 levels in 2 features: the shares of all 9 events are their probabilities."""
    network = OwnCausal(parameters_of(1, 3, ordered=False))
    model = Autoregressive((2,), levels=3, ordered=False, width=WIDTH, network=network).eval()
    with torch.no_grad():
        network.linear.weight.normal_(0, 1)
    events = grid.to_grid(torch.cartesian_prod(torch.arange(3), torch.arange(3)), 3)
    pmf = (model.log_prob(events) + 2 * math.log(2 / 3)).exp()
    assert pmf.sum().item() == pytest.approx(1, abs=1e-5)
    level = grid.to_level(model.sample(20_000), 3)
    shares = torch.bincount(3 * level[:, 0] + level[:, 1], minlength=9) / 20_000
    torch.testing.assert_close(shares, pmf.detach(), atol=0.02, rtol=0)


def test_ensembles_of_ones_own_are_given_as_one():
    members = [Own((3,), (3,), 2 * WIDTH) for _ in range(2)]
    model = Diffusion((3,), width=WIDTH, network=Ensemble(members)).eval()
    z, t = torch.randn(N, 3), torch.zeros(N)
    e = model.embedding(t, None)
    mean = torch.stack([member(z, e) for member in members]).mean(0)
    torch.testing.assert_close(model.network(z, e), mean)
    with pytest.raises(ValueError, match="Ensemble"):
        Diffusion((3,), ensemble_size=2, network=members[0])


def test_towers_of_ones_own():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(9, 5)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.words(tokens).mean(1)

    image, text = Own((1, 4, 4), (5,)), Words()
    model = CLIP((1, 4, 4), 6, 9, dims=5, width=WIDTH, image=image, text=text)
    x, tokens = torch.randn(N, 1, 4, 4), torch.randint(9, (N, 6))
    model.loss(x, tokens).mean().backward()
    assert model.image is image and model.text is text
    assert image.first.weight.grad is not None and text.words.weight.grad is not None


def test_a_network_without_features_says_so():
    model = Diffusion((3,), width=WIDTH, network=Own((3,), (3,), 2 * WIDTH))
    with pytest.raises(NotImplementedError, match=r"Own has no method features"):
        model.features(torch.randn(N, 3))


# --------------------------------------------------------------------------------------------- ours

NETWORKS = {
    "unet": lambda: UNet((2, 9, 8), 5, 8),
    "unet with attention": lambda: UNet((2, 9, 8), 5, 8, 2, attention=2, frequencies=(1.0, 2.0)),
    "unet of patches": lambda: UNet((2, 8, 8), 5, 8, patch=2, outputs=3, head_kernel=1),
    "mlp": lambda: MLP((2, 3), 5, 8, frequencies=(1.0,)),
    "transformer of patches": lambda: Transformer((2, 8, 4), 5, 8, 2, heads=2, frequencies=(1.0,)),
    "transformer of features": lambda: Transformer((2, 3), 5, 8, 2, heads=2),
    "encoder": lambda: Encoder((2, 8, 8), 3, 5, 8),
    "transformer encoder": lambda: TransformerEncoder((2, 8, 8), 3, 5, 8, 2, heads=2),
    "transformer encoder of features": lambda: TransformerEncoder((7,), 3, 5, 8, 2, heads=2),
}
each_network = pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)


def perturbed(network: nn.Module, by: float = 0.3) -> nn.Module:
    """In double precision, with no parameter left at a special value such as zero."""
    network = network.double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return network


@each_network
def test_a_network_is_rebuilt_from_its_configuration(make):
    network = make()
    again = build_network(json.loads(json.dumps(network.config())))
    assert again.config() == network.config()
    again.load_state_dict(network.state_dict())
    x, e = torch.randn(2, *network.shape), torch.randn(2, 5)
    torch.testing.assert_close(again(x, e), network(x, e), rtol=0, atol=0)


def test_a_configuration_that_fits_no_network_is_named():
    config = UNet((1, 8, 8), 5, 8).config()
    with pytest.raises(InputError, match=r"no network 'UNett'"):
        build_network({**config, "network": "UNett"})
    with pytest.raises(InputError, match="UNet cannot be built"):
        build_network({**config, "arguments": {"heigth": 3}})


@each_network
def test_every_output_hears_every_input_and_the_embedding(make):
    network = perturbed(make())
    x = torch.randn(2, *network.shape).double().requires_grad_()
    e = torch.randn(2, 5).double().requires_grad_()
    y = network(x, e)
    assert y.shape[0] == 2
    first = y.flatten(1)[0, 0]
    to_x, to_e = torch.autograd.grad(first, (x, e), retain_graph=True)
    assert (to_x[0] != 0).all() and (to_e[0] != 0).all()
    assert (to_x[1] == 0).all() and (to_e[1] == 0).all()  # rows do not meet
    assert not torch.allclose(network(x, e), network(x, e + 1))


@pytest.mark.parametrize("name", [name for name in NETWORKS if "encoder" not in name])
def test_event_networks_start_at_a_constant(name):
    network = NETWORKS[name]()
    x, e = torch.randn(2, 2, *network.shape), torch.randn(2, 2, 5)
    torch.testing.assert_close(network(x[0], e[0]), network(x[1], e[1]), rtol=0, atol=0)
    if "transformer" in name:
        assert (network(x[0], e[0]) == 0).all()


def test_attention_between_positions_begins_as_nothing():
    torch.manual_seed(0)
    with_it = UNet((1, 16, 16), 5, 8, attention=1)
    without = UNet((1, 16, 16), 5, 8)
    shared = [key for key in with_it.state_dict() if key in without.state_dict()]
    without.load_state_dict({key: with_it.state_dict()[key] for key in shared})
    for network in (with_it, without):
        nn.init.ones_(network.head.weight)
    x, e = torch.randn(2, 1, 16, 16), torch.randn(2, 5)
    torch.testing.assert_close(with_it(x, e), without(x, e), rtol=0, atol=0)
    added = [key for key in with_it.state_dict() if key not in without.state_dict()]
    assert added and all("attention" in key or ".1.norm" in key for key in added)
    scales = len(with_it.sizes)
    blocks = [stage for stage in (*with_it.down, *with_it.up) if len(stage) == 2]
    assert scales == 3 and len(blocks) == 2  # the coarsest on the way down, and on the way up


def test_attention_is_equivariant_and_a_block_begins_as_the_identity():
    block = TransformerBlock(8, 5, heads=2).double().eval()
    h, e = torch.randn(2, 7, 8).double(), torch.randn(2, 5).double()
    torch.testing.assert_close(block(h, e), h, rtol=0, atol=0)
    perturbed(block)
    order = torch.randperm(7)
    torch.testing.assert_close(block(h[:, order], e), block(h, e)[:, order])
    assert not torch.allclose(block(h, e), h)


def test_without_positions_a_transformer_does_not_know_the_order_of_features():
    network = perturbed(Transformer((6,), 5, 8, 2, heads=2))
    x, e, order = torch.randn(2, 6).double(), torch.randn(2, 5).double(), torch.randperm(6)
    assert not torch.allclose(network(x[:, order], e), network(x, e)[:, order])
    nn.init.zeros_(network.tokens.position)
    torch.testing.assert_close(network(x[:, order], e), network(x, e)[:, order])


def test_without_positions_a_transformer_moves_with_whole_patches():
    network = perturbed(Transformer((2, 8, 8), 5, 8, 2, heads=2, patch=2))
    nn.init.zeros_(network.tokens.position)
    x, e = torch.randn(2, 2, 8, 8).double(), torch.randn(2, 5).double()

    def moved(image: Tensor, by: int) -> Tensor:
        return image.roll((by, -by), (2, 3))

    torch.testing.assert_close(network(moved(x, 2), e), moved(network(x, e), 2))
    assert not torch.allclose(network(moved(x, 1), e), moved(network(x, e), 1))


def test_tokens_speak_to_each_other_through_attention_alone():
    """At the start every gate is closed, so an output hears the pixels of its own patch alone."""
    network = Transformer((1, 4, 4), 5, 8, 2, heads=2, patch=2).double()
    nn.init.normal_(network.head.weight)
    x, e = torch.randn(1, 1, 4, 4).double().requires_grad_(), torch.randn(1, 5).double()
    (heard,) = torch.autograd.grad(network(x, e)[0, 0, 0, 0], x)
    patch = torch.zeros(4, 4, dtype=torch.bool)
    patch[:2, :2] = True
    assert ((heard[0, 0] != 0) == patch).all()


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="patch=2"):
        Transformer((1, 9, 8), 5, 8)
    with pytest.raises(ValueError, match="heads=3"):
        Transformer((6,), 5, 8, heads=3)
    with pytest.raises(ValueError, match="multiple of 6"):
        Transformer((6,), 5, 8, outputs=7)
    with pytest.raises(ValueError, match="patch=2"):
        event_network((6,), 5, 8, patch=2)


def test_frequencies_let_a_network_see_edges():
    """A linear map of sines and cosines of x is no linear map of x."""
    shape = (1, 4, 4)
    plain, seeing = Decoder(3, shape, 1, 5, 8), UNet(shape, 5, 8, frequencies=(math.pi,))
    assert seeing.stem.in_channels == 3 and plain.stem.in_features == 3
    x, e = torch.randn(2, *shape), torch.randn(2, 5)
    nn.init.normal_(seeing.head.weight)
    with torch.no_grad():  # hears sine and cosine alone, which do not change by a period of 2
        seeing.stem.weight[:, 0] = 0
    torch.testing.assert_close(seeing(x + 2, e), seeing(x, e), rtol=1e-3, atol=1e-4)
