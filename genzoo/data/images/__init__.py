"""Pictures: the embedded digits, what torchvision downloads, and a folder of your own."""
