import math

import torch
import torch.nn.functional as F

from genzoo.course.checking import agree, require

N, K, TEMPERATURE = 6, 4, 0.2


def check(answer):
    images = 2 * torch.randn(N, K).double()
    captions = images + torch.randn(N, K).double()
    cosines = F.normalize(images, dim=1) @ F.normalize(captions, dim=1).T
    rows, columns = rows_and_columns(cosines / TEMPERATURE)
    plain_rows, plain_columns = rows_and_columns(images @ captions.T / TEMPERATURE)
    hot_rows, hot_columns = rows_and_columns(cosines * TEMPERATURE)
    cold_rows, cold_columns = rows_and_columns(cosines)
    half_rows, half_columns = rows_and_columns(cosines * images.norm(dim=1)[:, None] / TEMPERATURE)
    agree(
        answer.info_nce(images, captions, TEMPERATURE),
        (rows + columns) / 2,
        "loss",
        {
            "the embeddings are not scaled to length 1: long ones win.": (
                (plain_rows + plain_columns) / 2
            ),
            "captions are scaled to length 1, and pictures are not.": (
                (half_rows + half_columns) / 2
            ),
            "you ask each picture for its caption, and no caption for its picture.": rows,
            "you ask each caption for its picture, and no picture for its caption.": columns,
            "you add both directions; take their mean.": rows + columns,
            "you multiply by the temperature; divide by it.": (hot_rows + hot_columns) / 2,
            "the temperature is missing.": (cold_rows + cold_columns) / 2,
            "you sum over the batch; the cross-entropy is a mean.": N * (rows + columns) / 2,
            "that is the mean log-probability; the loss is minus that.": -(rows + columns) / 2,
        },
    )
    check_symmetry(answer, images, captions)
    alike = torch.ones(N, K).double()
    agree(
        answer.info_nce(alike, alike, TEMPERATURE),
        math.log(N),
        f"loss where all {N} embeddings are alike, which should be log {N},",
    )


def check_symmetry(answer, images, captions):
    images = images.clone().requires_grad_()
    one = answer.info_nce(images, captions, TEMPERATURE)
    other = answer.info_nce(captions, images, TEMPERATURE)
    agree(one, other, "loss, with pictures and captions exchanged,")
    require(one.requires_grad, "Your loss has no gradient to the embeddings.")
    (slope,) = torch.autograd.grad(one, images)
    along = (slope * images).sum(1).abs().max().item()
    require(
        along < 1e-6,
        "Your loss changes with the length of an embedding; only its direction should count.",
    )


def rows_and_columns(logits):
    return tuple(-each.log_softmax(1).diagonal().mean() for each in (logits, logits.T))
