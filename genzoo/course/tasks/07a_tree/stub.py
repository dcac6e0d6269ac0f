"""7a: place five models in the tree.

Families: "autoregressive", "flow", "vae", "energy", "diffusion", "gan".

typist    Gives every letter of a text a probability, after reading the letters
          before it.
painter   Turns 32 random numbers into a face in one go. A second network taught
          it, by trying to tell its faces from photographs. It cannot say how
          probable a face is.
judge     Gives any picture a number that is low for likely pictures. To find one
          it starts anywhere, and takes many small steps downhill with a little
          noise.
mould     Every picture belongs to exactly one point of noise with as many numbers
          as it has pixels. The map runs in both directions, and knows by how much
          it stretches space.
summary   Describes a picture by 16 numbers that it is not quite sure about. From
          the 16 numbers it draws the picture again. It knows a lower bound of
          log p(x).
"""

answers = {
    "typist": ...,
    "painter": ...,
    "judge": ...,
    "mould": ...,
    "summary": ...,
}
