r"""Distillation: a flow-matching model learns to jump along the paths of a trained teacher.

A solver follows the teacher's stream from noise to data in many small steps. Every path that it
walks tells, without any further thought, the mean velocity over every stretch of it:

.. math::

    u(x_t, t, s) = \frac{x_s - x_t}{s - t} .

So the student is given places on ready paths, and learns by plain regression how the path goes on,
over the stretches that its jumps take: for n = 1 up to its `jumps`, the n-th parts of the way. It
needs no derivative of a network, and no guess of its own is among its targets. What it learns by is
a data set of paths, and its training is that of `genzoo.fit`, like that of everything else.

The stream of a diffusion model is one of flow matching, too: of :math:`z = \alpha x + \sigma
\epsilon`, divided by :math:`\alpha + \sigma`, nothing is left but the straight line from noise to
x, at time :math:`t = \alpha / (\alpha + \sigma)`.

A quarter of each batch learns the velocity itself, from the ends of the paths. So the student has a
stream, and a likelihood, of its own: those of the teacher's samples, not of the data.

References: Luhman & Luhman 2021, *Knowledge distillation in iterative generative models* (from
noise to data at once); Geng et al. 2025, *Mean flows* (the mean velocity).
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genzoo import grid
from genzoo.data.dataset import DataSet, Split
from genzoo.errors import InputError
from genzoo.families.diffusion import Diffusion
from genzoo.families.flow_matching import FlowMatching, Velocity, adams_path
from genzoo.model import Trainable, device_of, drawing_from, evaluating, require
from genzoo.nets import expand_as, without
from genzoo.progress import Progress
from genzoo.training.fitting import Fitted, check_fit, fit

PARTS = 12  # of the way, one step of the teacher's solver each
BATCH = 500  # paths that are walked at once
OF_VELOCITY = 0.25  # share of a batch that learns the velocity itself

Teacher = FlowMatching | Diffusion
Rows = tuple[Tensor, Tensor, Tensor, Tensor]  # places, times, times to come, mean velocities


def distil(
    student: FlowMatching,
    teacher: Teacher,
    data: DataSet,
    folder: str | Path | None = None,
    *,
    paths: int = 4000,
    guidance: float = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
    **train: Any,
) -> Fitted:
    """Teach ``student``, in place, to jump as the stream of ``teacher`` flows.

    Args:
        student: with `jumps`, trained or not; it may be the teacher itself.
        teacher: a trained model of the same events.
        data: that the teacher was trained on, of which conditions are taken, and nothing else.
        folder: where checkpoints and ``log.csv`` go; see `genzoo.fit`.
        paths: that the teacher walks, before the student's training begins.
        guidance: of the teacher, which the student then has without asking for it.
        seed: of the paths and of the training.
        progress: as in `genzoo.fit`.
        train: other settings of `genzoo.fit`.

    Returns:
        as `genzoo.fit`, of the student. There is no validation figure: no held-out path tells when
        samples are best, and the last averaged weights are taken.

    Raises:
        InputError: the student has no jumps, or the three are not of the same events.
    """
    check_pair(student, teacher)
    check_fit(teacher, data)
    require(1, paths=paths)
    walked = walks(teacher, data, paths, guidance, seed)
    pupil = Pupil(student)
    fitted = fit(pupil, walked, folder, seed=seed, progress=progress, **train)
    return Fitted(
        model=student.eval(),
        seconds=fitted.seconds,
        steps=fitted.steps,
        planned=fitted.planned,
        best_step=None,
        validation=None,
        precision=fitted.precision,
    )


def check_pair(student: Any, teacher: Any) -> None:
    """Raise `InputError` unless the one can learn from the other."""
    if not isinstance(student, FlowMatching) or not student.jumps:
        raise InputError("A student is a genzoo.FlowMatching with jumps, such as jumps=2.")
    if not isinstance(teacher, Teacher):
        name = type(teacher).__name__
        raise InputError(f"A teacher is a Diffusion or FlowMatching, got {name}: it has no stream.")
    for what in ("event_shape", "condition", "levels"):
        taught = getattr(teacher, what)
        learned = getattr(student, what)
        if taught != learned:
            raise InputError(f"The teacher's {what} is {taught}, but the student's is {learned}.")


# ----------------------------------------------------------------------------------- the teacher


def stream(teacher: Teacher, c: Tensor | None, guidance: float = 1.0) -> Velocity:
    """The velocity of the teacher's stream from noise (t = 0) to data (t = 1).

    Of a diffusion model it is known before t = 1 alone; no step of a solver begins there.

    Args:
        teacher: a trained model.
        c: a condition for each row, or None.
        guidance: see `genzoo.FlowMatching.velocity`; 1 for none.
    """
    if isinstance(teacher, FlowMatching):
        return teacher.velocity(c, guidance)
    denoise = teacher.denoiser(c, guidance)
    least, most = teacher.log_snr_min, teacher.log_snr_max

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        log_snr = 2 * torch.logit(t).clamp(least / 2, most / 2)
        size = (t.square() + (1 - t).square()).sqrt()  # that of (alpha, sigma) is 1
        clean = denoise(x / expand_as(size, x), log_snr)
        return (clean - x) / expand_as(1 - t, x)

    return velocity


@torch.no_grad()
def walks(teacher: Teacher, data: DataSet, paths: int, guidance: float, seed: int) -> DataSet:
    """A data set of ``paths`` that the teacher walks: events ``(PARTS + 1, *event_shape)``.

    Their conditions are drawn from the training events. As many are left out as in training, so
    that the student learns what no condition means.

    Args:
        teacher: a trained model.
        data: that it was trained on.
        paths: number of them; a twentieth is held out.
        guidance: of the teacher; 1 for none.
        seed: of conditions and noise.
    """
    device = device_of(teacher)
    with torch.random.fork_rng(), evaluating(teacher):
        torch.manual_seed(seed)
        c = drawn_conditions(teacher, data.train, paths)
        walked = []
        for rows in torch.arange(paths).split(BATCH):
            given = None if c is None else c[rows].to(device)
            walked.append(walk(teacher, len(rows), given, guidance).cpu())
    x = torch.cat(walked)
    held_out = paths // 20
    sizes = (paths - held_out, held_out, 0)
    name = f"paths of {data.name}"
    return DataSet.split(name, x, c, sizes, condition=data.condition, classes=data.classes)


def drawn_conditions(teacher: Teacher, events: Split, n: int) -> Tensor | None:
    """Conditions of drawn events, a share of them left out; None of a model without.

    Args:
        teacher: that takes them.
        events: with their conditions.
        n: number of draws.
    """
    if events.c is None or not teacher.condition:
        return None
    drawn = torch.randint(len(events), (n,), device=events.c.device)
    missing = torch.rand(n, device=events.c.device) < teacher.drop_condition
    return without(events.c[drawn], missing).cpu()


def walk(teacher: Teacher, n: int, c: Tensor | None, guidance: float = 1.0) -> Tensor:
    """Places on the way from noise to data, ``(n, PARTS + 1, *event_shape)``.

    Args:
        teacher: a trained model.
        n: number of paths.
        c: a condition for each, or None.
        guidance: of the teacher; 1 for none.
    """
    x = teacher.latent_noise(n)
    times = torch.linspace(0, 1, PARTS + 1).tolist()
    places = [x, *adams_path(stream(teacher, c, guidance), x, times)]
    return torch.stack(places, 1)


# ----------------------------------------------------------------------------------- the student


class Pupil(Trainable):
    """A student on its way: a flow-matching model that `genzoo.fit` trains on paths.

    Args:
        student: with `jumps`.
    """

    def __init__(self, student: FlowMatching):
        super().__init__()
        self.student = student
        self.event_shape = (PARTS + 1, *student.event_shape)
        self.condition = student.condition
        self.lr = student.lr
        self.stretches = stretches(student.jumps)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        path, c = batch
        loss = self.loss(path, c if self.condition else None).mean()
        self.log_loss(loss, batch_idx, len(path))
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Logs the loss of paths that are not trained on; nothing is chosen by it."""
        path, c = batch
        with drawing_from(batch_idx, path.device):
            loss = self.loss(path, c if self.condition else None).mean()
        self.log("val_loss", loss, batch_size=len(path))

    def loss(self, path: Tensor, c: Tensor | None = None) -> Tensor:
        """||u(x_t, t, s) - (x_s - x_t) / (s - t)||^2 over one stretch of each path, ``(n,)``.

        The first rows have no stretch, s = t, and learn the velocity.
        """
        few = round(OF_VELOCITY * len(path))
        rows = [self.of_lines(path[:few]), self.of_stretches(path[few:])]
        x, t, s, target = map(torch.cat, zip(*rows, strict=True))
        error = self.student.u(x, t, s, c) - target
        return error.square().flatten(1).sum(1)

    def of_lines(self, path: Tensor) -> Rows:
        """Random places on straight lines from noise to the ends of paths, and their speed."""
        event = self.student.on_grid(path[:, -1])
        end = grid.dequantise(event, self.student.levels)
        noise = torch.randn_like(end)
        t = torch.rand(len(path), device=path.device, dtype=path.dtype)
        x = torch.lerp(noise, end, expand_as(t, end))
        return x, t, t, end - noise

    def of_stretches(self, path: Tensor) -> Rows:
        """The beginning of a random stretch of each path, and its mean velocity."""
        rows = torch.arange(len(path), device=path.device)
        chosen = torch.randint(len(self.stretches), (len(path),))
        ends = torch.tensor(self.stretches)[chosen].to(path.device)
        first, last = ends.unbind(1)
        x = path[rows, first]
        t = (first / PARTS).to(path)
        s = (last / PARTS).to(path)
        gone = path[rows, last] - x
        return x, t, s, gone / expand_as(s - t, x)


def stretches(jumps: int) -> Sequence[tuple[int, int]]:
    """Beginning and end, in parts of the way, of each jump of up to ``jumps`` equal ones."""
    found = set()
    for n in range(1, jumps + 1):
        ends = [round(k * PARTS / n) for k in range(n + 1)]
        found.update(pairwise(ends))
    return sorted(found)
