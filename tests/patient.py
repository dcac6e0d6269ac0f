"""A family that takes its time, for tests that end processes in the middle of a run."""

import ctypes
import os
import time
from pathlib import Path

import torch

import genzoo


class Patient(genzoo.GenerativeModel):
    """One mean and one variance for every number of an event; each step of training lasts.

    The file that the environment's ``PATIENT_QUIET`` names, where it does, gets this process's id,
    and training then says nothing for a minute, in a call that keeps Python to itself.
    """

    likelihood = genzoo.Likelihood.EXACT

    def __init__(self, event_shape, *, condition=0, levels=0, lr=1e-2, seconds=0.0):
        super().__init__(event_shape, condition, levels, lr)
        self.seconds = seconds
        self.mean = torch.nn.Parameter(torch.zeros(self.event_shape))
        self.log_std = torch.nn.Parameter(torch.zeros(self.event_shape))

    def loss(self, x, c=None):
        time.sleep(self.seconds)
        if quiet := os.environ.get("PATIENT_QUIET"):
            Path(quiet).write_text(str(os.getpid()))
            ctypes.PyDLL(None).sleep(60)
        return -self.log_prob(x, c).mean()

    def log_prob(self, x, c=None):
        self.require_events(x)
        normal = torch.distributions.Normal(self.mean, self.log_std.exp())
        return normal.log_prob(x).flatten(1).sum(1)

    def sample(self, n, c=None):
        return self.mean + self.log_std.exp() * torch.randn(n, *self.event_shape)
