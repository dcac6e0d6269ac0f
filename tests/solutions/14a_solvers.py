"""14a: Euler against Runge-Kutta."""

from torch import Tensor


def euler(u, x: Tensor, steps: int) -> Tensor:
    h = 1 / steps
    for i in range(steps):
        x = x + h * u(x, i * h)
    return x


def rk4(u, x: Tensor, steps: int) -> Tensor:
    h = 1 / steps
    for i in range(steps):
        t = i * h
        k1 = u(x, t)
        k2 = u(x + h / 2 * k1, t + h / 2)
        k3 = u(x + h / 2 * k2, t + h / 2)
        k4 = u(x + h * k3, t + h)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x
