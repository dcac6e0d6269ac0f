"""Memory is counted on work whose peak is known by hand."""

import pytest
import torch

from genzoo import FAMILIES, VAE
from genzoo.evaluation.cost import _most, peak_memory


def test_the_peak_is_that_of_what_lives_at_the_same_time():
    def work() -> None:
        first = torch.ones(1000)
        second = torch.ones(500)
        del first
        second.view(5, 100)  # no new bytes
        torch.ones(250)

    assert _most(work, torch.device("cpu")) == 4 * 1500


def test_an_operation_in_place_allocates_nothing_and_a_result_that_is_kept_does():
    x = torch.ones(1000)
    assert _most(lambda: x.add_(1), torch.device("cpu")) == 0
    kept = []
    assert _most(lambda: [kept.append(x + i) for i in range(3)], torch.device("cpu")) == 3 * 4000


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_a_peak_and_is_left_as_it_was(family):
    model = family((2,), condition=3, width=8).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, state = torch.randn(4, 2), torch.random.get_rng_state()
    found = peak_memory(model, x, torch.tensor([0, 1, 2, 0]))
    weights = sum(value.nbytes for value in before.values())
    assert found["training"] > 4 * weights and found["sampling"] > weights
    assert not model.training and all(p.grad is None for p in model.parameters())
    assert all(
        torch.equal(v.nan_to_num(), before[k].nan_to_num()) for k, v in model.state_dict().items()
    )
    assert torch.equal(torch.random.get_rng_state(), state)


def test_training_takes_more_for_a_larger_batch_in_proportion():
    """What is not weights doubles with the batch: activations and their gradients."""
    model = VAE((1, 8, 8), levels=17, width=8, latent_shape=(2,))
    x = model.on_grid(torch.randn(128, 1, 8, 8).clamp(-1, 1))
    few, many = (peak_memory(model, x[:n])["training"] for n in (32, 128))
    weights = 4 * sum(value.nbytes for value in model.state_dict().values())
    assert (many - weights) / (few - weights) == pytest.approx(4, rel=0.1)
