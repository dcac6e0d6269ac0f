"""14a: Euler against Runge-Kutta, from t = 0 to t = 1.    dx/dt = u(x, t)

x is (n, d), t is a number, u(x, t) is (n, d).
"""

from torch import Tensor


def euler(u, x: Tensor, steps: int) -> Tensor:
    """The points x at t = 1, with one evaluation of u for each step."""
    raise NotImplementedError("return x at t = 1.")


def rk4(u, x: Tensor, steps: int) -> Tensor:
    """Likewise, with four evaluations for each step."""
    raise NotImplementedError("return x at t = 1.")
