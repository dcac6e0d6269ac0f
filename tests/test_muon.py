"""The optimiser of orthogonal updates: what it does to a matrix, to what is none, and by name."""

import copy

import pytest
import torch
from torch import nn

import genzoo
from genzoo.benchmark.plan import plan
from genzoo.errors import InputError
from genzoo.optim import Muon, optimizer_of, orthogonalised


@pytest.mark.parametrize("shape", [(20, 20), (16, 50), (50, 16)])
def test_an_orthogonalised_matrix_keeps_its_directions_and_evens_their_lengths(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape, dtype=torch.float64)
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    lengths = u.mT @ orthogonalised(matrix) @ vh.mT
    spectrum = lengths.diagonal()
    assert spectrum.min() > 0.3 and spectrum.max() < 1.3
    torch.testing.assert_close(lengths, spectrum.diag(), rtol=0, atol=1e-9)


def test_only_what_is_a_matrix_is_orthogonalised():
    layers = nn.ModuleList(
        [
            nn.Linear(20, 16),
            nn.Conv2d(2, 16, 3),  # a matrix of 16 x 18
            nn.Conv2d(32, 32, 3, groups=32),  # each channel by itself
            nn.Linear(10, 64),  # an embedding of ten labels
        ]
    )
    matrices, others = Muon(layers.parameters(), lr=0.1).param_groups
    assert {id(w) for w in matrices["params"]} == {id(layers[0].weight), id(layers[1].weight)}
    assert len(others["params"]) == 6


def test_what_is_no_matrix_moves_as_by_adamw():
    torch.manual_seed(0)
    mine = nn.Parameter(torch.randn(7))
    theirs = nn.Parameter(mine.detach().clone())
    ours = Muon([mine], lr=0.01, weight_decay=0.1)
    reference = torch.optim.AdamW([theirs], 0.01, (0.9, 0.99), weight_decay=0.1)
    for _ in range(5):
        gradient = torch.randn(7)
        mine.grad, theirs.grad = gradient, gradient.clone()
        ours.step()
        reference.step()
    torch.testing.assert_close(mine, theirs)


def test_a_state_that_was_kept_goes_on_alike():
    torch.manual_seed(0)
    layer = nn.Linear(16, 16)
    x = torch.randn(8, 16)

    def step(layer: nn.Linear, optimizer: Muon) -> None:
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        optimizer.step()

    optimizer = Muon(layer.parameters(), lr=0.01)
    step(layer, optimizer)
    again = nn.Linear(16, 16)
    again.load_state_dict(layer.state_dict())
    resumed = Muon(again.parameters(), lr=0.01)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    step(layer, optimizer)
    step(again, resumed)
    for mine, theirs in zip(layer.parameters(), again.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_an_optimizer_is_had_by_its_name(tmp_path):
    assert optimizer_of("muon") is Muon
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("vae: {train: {steps: 1, optimizer: moun}}")
    with pytest.raises(InputError, match=r"no optimizer 'moun'\. Did you mean 'muon'"):
        plan("vae", "digits", recipe=recipe)
    recipe.write_text("vae: {model: {width: 16}, train: {steps: 1, optimizer: muon}}")
    made = plan("vae", "digits", recipe=recipe)
    assert made.train["optimizer"] == "muon"
    data = genzoo.data.load("moons")
    model = genzoo.VAE((2,), width=16)
    genzoo.fit(model, data, **made.train)
    assert model.optimizer is Muon
