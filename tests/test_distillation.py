"""What a teacher's paths say, and that a student of them jumps where they lead."""

import pytest
import torch
from torch import Tensor

from genzoo import VAE, Diffusion, FlowMatching
from genzoo.data import DataSet
from genzoo.data.loading import load as load_data
from genzoo.errors import InputError
from genzoo.families.diffusion import alpha, sigma
from genzoo.training import distillation
from genzoo.training.distillation import PARTS, Pupil, distil, stream, stretches, walks

MEAN, STD = 0.5, 0.3


def velocity(x: Tensor, t: Tensor) -> Tensor:
    """That of the straight lines from noise to N(MEAN, STD^2)."""
    t = t[:, None]
    variance = t**2 * STD**2 + (1 - t) ** 2
    return MEAN + (t * STD**2 - (1 - t)) / variance * (x - t * MEAN)


def diffusion() -> Diffusion:
    """The diffusion model whose denoiser is E[x | z] of N(MEAN, STD^2)."""
    model = Diffusion((2,), width=8).double().eval()

    def v(z: Tensor, log_snr: Tensor, c: Tensor | None) -> Tensor:
        a, s = alpha(log_snr, z), sigma(log_snr, z)
        clean = MEAN + a * STD**2 / (a**2 * STD**2 + s**2) * (z - a * MEAN)
        return (a * z - clean) / s

    model.v = v  # type: ignore[method-assign]
    return model


def flow_matching() -> FlowMatching:
    model = FlowMatching((2,), width=8).double().eval()
    model.v = lambda x, t, c=None: velocity(x, t)  # type: ignore[method-assign]
    return model


def exact_path(z: Tensor) -> Tensor:
    """Places of ``z`` on its way to N(MEAN, STD^2): it stays as many deviations from the mean."""
    t = torch.linspace(0, 1, PARTS + 1, dtype=z.dtype)[:, None]
    return t * MEAN + (t**2 * STD**2 + (1 - t) ** 2).sqrt() * z[:, None]


@pytest.fixture(scope="module")
def moons() -> DataSet:
    return load_data("moons", train=64, validation=20, test=20)


@pytest.mark.parametrize("teacher", [diffusion, flow_matching])
def test_a_diffusion_model_flows_as_the_flow_matching_model_of_the_same_data(teacher):
    x = torch.randn(50, 2, dtype=torch.float64)
    t = torch.linspace(0.1, 0.98, 50, dtype=torch.float64)
    torch.testing.assert_close(stream(teacher(), None)(x, t), velocity(x, t))


@pytest.mark.parametrize("teacher", [diffusion, flow_matching])
def test_paths_lead_from_noise_to_where_the_stream_ends(teacher, moons):
    walked = walks(teacher(), moons, paths=40, guidance=1.0, seed=0)
    assert (len(walked.train), len(walked.validation)) == (38, 2)
    assert walked.event_shape == (PARTS + 1, 2)
    path = walked.train.x
    away = path - exact_path(path[:, 0])  # by twelve steps of the solver
    assert away.abs().max() < 0.1 and away.abs().mean() < 0.02


def test_every_jump_of_up_to_so_many_equal_ones_is_learned():
    assert stretches(1) == [(0, PARTS)]
    half = PARTS // 2
    assert stretches(2) == [(0, half), (0, PARTS), (half, PARTS)]
    assert len(stretches(4)) == 1 + 2 + 3 + 4


def test_the_true_mean_velocities_are_without_fault_on_true_paths(monkeypatch):
    monkeypatch.setattr(distillation, "OF_VELOCITY", 0.0)
    student = FlowMatching((2,), width=8, jumps=4).double()

    def u(x: Tensor, t: Tensor, s: Tensor, c: Tensor | None = None) -> Tensor:
        now, then = t[:, None], s[:, None]
        ratio = ((then**2 * STD**2 + (1 - then) ** 2) / (now**2 * STD**2 + (1 - now) ** 2)).sqrt()
        end = then * MEAN + ratio * (x - now * MEAN)
        return (end - x) / (then - now)

    student.u = u  # type: ignore[method-assign]
    path = exact_path(torch.randn(100, 2, dtype=torch.float64))
    assert Pupil(student).loss(path).max() < 1e-12


def test_a_student_learns_to_jump_at_once():
    """On paths of a Gaussian, whose jump from noise to data is linear."""
    torch.manual_seed(0)
    student = FlowMatching((2,), width=16, depth=0, fourier=0, jumps=1, lr=0.02)
    teacher = FlowMatching((2,), width=8)
    teacher.v = lambda x, t, c=None: velocity(x, t)  # type: ignore[method-assign]
    points = DataSet.split("points", torch.zeros(3, 2), None, (1, 1, 1))
    found = distil(
        student, teacher, points, paths=1000, steps=100, batch_size=100, accelerator="cpu"
    )
    assert found.model is student and not student.training and found.validation is None
    z = torch.randn(500, 2)
    away = student.jump(z, None, 1.0, 1) - exact_path(z)[:, -1]
    assert away.square().mean().sqrt() < 0.15  # of 1.1 before


def test_a_share_of_the_paths_has_no_condition():
    digits = load_data("digits")
    teacher = Diffusion(digits.event_shape, digits.condition, digits.levels, width=8)
    c = distillation.drawn_conditions(teacher, digits.train, 1000)
    assert c is not None
    assert (c == -1).float().mean().item() == pytest.approx(teacher.drop_condition, abs=0.05)
    assert set(c.tolist()) == set(range(-1, 10))


@pytest.mark.parametrize(
    ("student", "teacher", "says"),
    [
        (FlowMatching((2,), width=8), FlowMatching((2,), width=8), "with jumps"),
        (FlowMatching((2,), width=8, jumps=1), VAE((2,), width=8), "got VAE: it has no stream"),
        (FlowMatching((3,), width=8, jumps=1), FlowMatching((2,), width=8), r"is \(2,\), but"),
    ],
)
def test_who_cannot_learn_from_whom_is_told(student, teacher, says, moons):
    with pytest.raises(InputError, match=says):
        distil(student, teacher, moons)
