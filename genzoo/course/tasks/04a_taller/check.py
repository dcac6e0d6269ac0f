import torch

from genzoo import grid
from genzoo.course.checking import agree, require, tensor
from genzoo.data.synthetic import biscuits

CENTRE = torch.tensor([6.0, 10.0])  # height and width in pixels at the latent's origin
AXES = torch.tensor([[0.5, -0.3], [0.35, 0.6]])  # what a pixel of height, of width does to z
SHIFT = torch.tensor([0.4, -1.0])


def check(answer):
    sizes = measured()
    z = latent_of(sizes)
    step = tensor(answer.find_step(z, sizes), "step", (2,)).float()
    tall = sizes[:, 0] > sizes[:, 0].mean()
    between = z[tall].mean(0) - z[~tall].mean(0)
    apart = sizes[tall, 0].mean() - sizes[~tall, 0].mean()
    slope = torch.linalg.lstsq(torch.cat([z, torch.ones(len(z), 1)], 1), sizes[:, :1]).solution
    agree(
        step,
        AXES[0],
        f"step, which adds {effect(step)},",
        {
            "you compare tall tins with short ones. The tall ones are wide as well, so the "
            "difference has some width in it.": between / apart,
            "that is the difference of tall and short tins, and not of one pixel.": between,
            "that is the step of one pixel of *width*.": AXES[1],
            "that direction is where height rises fastest, not where width stays the same.": (
                slope[:2, 0] / slope[:2, 0].square().sum()
            ),
            "a column of ones is missing from your least squares: z is not 0 at size 0.": (
                torch.linalg.lstsq(sizes, z).solution[0]
            ),
        },
    )
    x = picture(torch.tensor([[4.0, 8.0], [5.0, 12.0], [7.0, 9.0], [6.0, 14.0]]))
    before = torch.stack(biscuits.measure(x), 1)
    for pixels in (1, 2, -1):
        made = answer.make_taller(x, encode, decode, step, pixels)
        tensor(made, "picture", x.shape)
        after = torch.stack(biscuits.measure(made), 1)
        change = (after - before).double().mean(0)
        require(
            not torch.equal(made, x) or pixels == 0,
            "Your tins have not changed at all: is the step added to the latent?",
        )
        agree(
            change,
            [pixels, 0],
            f"change of height and width, for {pixels} pixels,",
            {
                "you take one step whatever number is asked for.": [1.0, 0.0],
                "you step in the other direction.": [-pixels, 0.0],
            },
        )


def measured():
    """Sizes of forty tins, of which the tall ones are wide."""
    height = torch.randint(3, 11, (40,)).float()
    width = (6 + 0.7 * (height - 3) + 4 * torch.rand(40)).round().clamp(6, 14)
    return torch.stack([height, width], 1)


def latent_of(sizes):
    return (sizes - CENTRE) @ AXES + SHIFT


def sizes_of(z):
    return torch.linalg.solve(AXES.T, (z.float() - SHIFT).T).T + CENTRE


def effect(step):
    height, width = (step @ torch.linalg.inv(AXES)).tolist()
    return f"{height:.2f} pixels of height and {width:.2f} of width"


def picture(sizes):
    clean = biscuits.draw(*sizes.unbind(1)) * (biscuits.LEVELS - 1)
    return grid.to_grid(clean.round(), biscuits.LEVELS)


def encode(x):
    return latent_of(torch.stack(biscuits.measure(x), 1).float())


def decode(z):
    return picture(sizes_of(z))
