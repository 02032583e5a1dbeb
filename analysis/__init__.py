"""placeholder"""

if __name__ != "rlkit.analysis":
    raise ImportError("this folder is installed as rlkit.analysis: import rlkit.analysis instead of analysis")
