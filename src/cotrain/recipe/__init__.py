"""From words to a result: the config, the objects it stands for, and the runs made of them.

`build.py` is the only file that turns words into objects. Nothing is imported here, so that a config can be read without the rest.

>>> from cotrain.recipe.config import config_from_dict
>>> config = config_from_dict({"tasks": {"age": "regression"}, "sharing": "mmoe"}, table={"age": [1.0], "height": [2.0]})
>>> config.sharing.name
'mmoe'
"""
