"""An empty stand-in: LLaMA-Factory imports it for rows with sound, and its wheels need CUDA."""
