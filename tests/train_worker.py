"""What `test_training` starts as a process of its own: the same tiny run, one line per step."""

import os
import shutil
import sys
import time
from dataclasses import replace

from exemplar_lab.training.loop import make_fabric, train
from exemplar_lab.training.patches import Patches
from exemplar_lab.training.recipes import make_recipe

if __name__ == "__main__":
    named = next((one.removeprefix("--recipe=").split(",") for one in sys.argv if one.startswith("--recipe=")), ["cocosnet"])
    data = {"msca": "scenes"}.get(named[0], "people")
    recipe = make_recipe(named[0], data, "smoke", variant=(*named, "full")[1])
    recipe = replace(recipe, steps=6, batch_size=4, save_every=1 if "WORLD_SIZE" in os.environ else 2)
    if named[0] == "msca":
        recipe = replace(recipe, patches=Patches(pretraining=2, disjoint=2, patch=48))
    fabric = make_fabric("cpu")
    for step in train(recipe, sys.argv[1], fabric):
        print(f"step {step.number}", flush=True)
        if step.number == 1 and fabric.world_size > 1 and fabric.is_global_zero:
            shutil.copytree(f"{sys.argv[1]}/step-00000001", f"{sys.argv[1]}/first")
        if "--pause" in sys.argv and step.number == 5:
            time.sleep(60)
