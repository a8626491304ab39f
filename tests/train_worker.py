"""What `test_training` starts as a process of its own: the same tiny run, one line per step."""

import sys
import time
from dataclasses import replace

from exemplar_lab.training.loop import make_fabric, train
from exemplar_lab.training.recipes import cocosnet_people

if __name__ == "__main__":
    recipe = replace(cocosnet_people("smoke"), steps=6, batch_size=4, save_every=2)
    for step in train(recipe, sys.argv[1], make_fabric("cpu")):
        print(f"step {step.number}", flush=True)
        if "--pause" in sys.argv and step.number == 5:
            time.sleep(60)
