"""The page: Gradio, and no machine learning. Torch is never imported here."""
