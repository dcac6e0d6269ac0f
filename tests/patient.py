"""A family that waits to be killed, for tests that end processes in the middle of a run."""

import ctypes
import os
import time
from pathlib import Path

import torch

import genzoo

EARLY = 8  # steps of a process before it waits, among them those to the first checkpoint
LONGEST = 300  # seconds


class Patient(genzoo.GenerativeModel):
    """One mean and one variance for every number of an event.

    Training goes on for a few steps and then waits until the file is there that the environment's
    ``PATIENT_UNTIL`` names, where it names one.

    The file that ``PATIENT_QUIET`` names, where it does, gets this process's id, and training then
    says nothing for a minute, in a call that keeps Python to itself.
    """

    likelihood = genzoo.Likelihood.EXACT

    def __init__(self, event_shape, *, condition=0, levels=0, lr=1e-2):
        super().__init__(event_shape, condition, levels, lr)
        self.mean = torch.nn.Parameter(torch.zeros(self.event_shape))
        self.log_std = torch.nn.Parameter(torch.zeros(self.event_shape))
        self.done = 0

    def loss(self, x, c=None):
        self.done += 1
        if quiet := os.environ.get("PATIENT_QUIET"):
            Path(quiet).write_text(str(os.getpid()))
            ctypes.PyDLL(None).sleep(60)
        if self.done > EARLY and (until := os.environ.get("PATIENT_UNTIL")):
            wait_for(Path(until))
        return -self.log_prob(x, c).mean()

    def log_prob(self, x, c=None):
        self.require_events(x)
        normal = torch.distributions.Normal(self.mean, self.log_std.exp())
        return normal.log_prob(x).flatten(1).sum(1)

    def sample(self, n, c=None):
        return self.mean + self.log_std.exp() * torch.randn(n, *self.event_shape)


def wait_for(path):
    begun = time.monotonic()
    while not path.exists() and time.monotonic() - begun < LONGEST:
        time.sleep(0.05)
