"""The gate: all that comes from outside is read in this room, within limits, and none of it runs.

==========  ======================================================================================
module      what it lets in
==========  ======================================================================================
limits      how much of everything: each limit once, with the sentence that quotes it
schema      the numbers that a setting may be, on the command line, in a recipe and in Python
text        YAML and JSON: recipes, configurations, rows, words of the command line
arrays      ``.npz`` files, in which nothing may be an object
pictures    PNG and JPEG files, and no others
tensors     weights and checkpoints, which cannot carry code
memory      models, which a configuration may describe larger than any machine
==========  ======================================================================================

What is wrong ends in one sentence, a `genzoo.errors.InputError`; `genzoo.gate.text` alone raises a
plain ValueError of a few words, for its callers know better what the file was to be.
"""
