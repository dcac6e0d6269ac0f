from genzoo.course.checking import choices

RIGHT = {
    "typist": "autoregressive",
    "painter": "gan",
    "judge": "energy",
    "mould": "flow",
    "summary": "vae",
}

NOT = {  # what each family would have had in its description
    "autoregressive": "an autoregressive model reads features in order, each after those before.",
    "flow": "a flow is an invertible map to noise of the same size, with a known determinant.",
    "vae": "a VAE has an encoder that guesses a latent, a decoder, and a bound.",
    "energy": "an energy model has an unnormalised density, and Markov chains to sample from it.",
    "diffusion": "a diffusion model removes noise step by step, from a known noising process.",
    "gan": "a GAN has no density at all, only a generator and, in training, a critic.",
}

NEAR = {  # pairs that are easily confused
    ("judge", "diffusion"): (
        "it too walks with noise, but its noise level stays the same and its walk may start "
        "anywhere: no noising process is undone."
    ),
    ("mould", "diffusion"): (
        "a diffusion's noise has the size of the picture as well, but its map is no exact pair of "
        "directions with a determinant."
    ),
    ("mould", "vae"): "a VAE's encoder is a guess with a spread; here every picture has one point.",
    ("painter", "vae"): "a VAE is taught by a bound on the likelihood, not by a second player.",
    ("painter", "flow"): "32 numbers are fewer than pixels, so this map has no inverse or density.",
    ("summary", "flow"): "16 numbers are fewer than pixels, so the map cannot be undone exactly.",
    ("summary", "gan"): "a GAN could not give a bound: it has no density to bound.",
    ("judge", "gan"): "a critic gives numbers too, but here nothing else draws: the judge samples.",
}


def check(answer):
    reasons = {
        model: {
            family: NEAR.get((model, family), f"not {family}: {why}")
            for family, why in NOT.items()
            if family != RIGHT[model]
        }
        for model in RIGHT
    }
    choices(answer.answers, RIGHT, reasons)
