"""Jobs of the embedded engine: warm starts, then arms in worker processes.

Read in this order: `engine` for what a job does, `arm_trainer` for a step, `evaluation`; of models
made for a task `warm_start`, of pretrained ones `pretrained`, `from_gguf`, `tokenizer`, `text_task`
and `completions`; `stored` and `devices` serve both.
"""
