"""The page: Gradio 6 Blocks over the public names of kb and ingest, and nothing else."""
