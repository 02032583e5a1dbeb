"""placeholder"""

if __name__ != "rlkit.envs":
    raise ImportError("this folder is installed as rlkit.envs: import rlkit.envs instead of envs")
