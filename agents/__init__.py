"""placeholder"""

if __name__ != "rlkit.agents":
    raise ImportError("this folder is installed as rlkit.agents: import rlkit.agents instead of agents")
