"""The program of a jailed child: it runs what a model wrote, and answers with data.

Started by :mod:`rlkit.rewards.free` by its path, in a process of its own, with a request on the standard
input; its answer goes to the file descriptor that the request names. Nothing of the package is imported
before the jail is shut. This is the only file of the package that executes generated text, and no other
process runs it.
"""

import base64
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def main() -> None:
    """Shut the jail, do what is asked, answer, and end."""
    request = json.load(sys.stdin)
    pipe = os.fdopen(request["answer"], "w")
    try:
        # Its own folder is no place to import from: names of the package's files would hide others.
        sys.path[:] = [path for path in request["path"] if path]
        spec = importlib.util.spec_from_file_location("_jail", Path(__file__).with_name("jail.py"))
        assert spec is not None
        assert spec.loader is not None
        jail = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(jail)
        how = jail.confine(request["readable"], how=request["how"], root=request["root"], **request["limits"])
    except Exception as error:
        print(json.dumps({"jail": f"{type(error).__name__}: {error}"}), file=pipe, flush=True)
        return
    # What follows this line the text may have written itself.
    print(json.dumps({"how": how}), file=pipe, flush=True)
    try:
        answer = {"trace": trace, "check": check}[request["do"]](request)
    except BaseException as error:  # whatever the text raised: its words are not passed on
        answer = {"error": type(error).__name__}
    json.dump(answer, pipe)
    pipe.flush()
    os._exit(0)


def trace(request: dict[str, Any]) -> dict[str, Any]:
    """The StableHLO of the function ``reward`` that a text defines."""
    import jax
    import jax.numpy as jnp
    from jax import export

    names: dict[str, Any] = {"jax": jax, "jnp": jnp}
    exec(compile(request["text"], "reward", "exec"), names)  # in the jail
    memory = {str(name): value for name, value in dict(names.get("memory") or {}).items()}
    function, terms = names["reward"], []
    of = lambda shape, dtype: jax.ShapeDtypeStruct(tuple(shape), dtype)
    fields = {name: of(shape, dtype) for name, shape, dtype in request["fields"]}
    kinds = {name: of((), bool if isinstance(value, bool) else jnp.float32) for name, value in memory.items()}

    def flat(s: dict, a: Any, ns: dict, done: Any, m: dict) -> tuple:
        given = (SimpleNamespace(**s), a, SimpleNamespace(**ns), done)
        total, named, *after = function(*given, *((SimpleNamespace(**m),) if memory else ()))
        terms[:] = list(named)
        scalar = lambda x: jnp.asarray(x, jnp.float32)
        kept = [jnp.asarray(after[0][name], kinds[name].dtype) for name in memory]
        return (scalar(total), *(scalar(named[name]) for name in terms), *kept)

    arguments = (fields, of(request["action"], jnp.float32), fields, of((), bool), kinds)
    exported = export.export(jax.jit(flat, keep_unused=True), platforms=("cpu",))(*arguments)
    module = base64.b64encode(exported.mlir_module_serialized).decode()
    return {"module": module, "terms": terms, "memory": memory}


def check(request: dict[str, Any]) -> dict[str, Any]:
    """Read and compile an artefact once, where a crash or an endless compilation hurts nobody."""
    import jax

    from rlkit.errors import RlkitError
    from rlkit.rewards.lowered import lowered_function

    try:
        run, arguments = lowered_function(request["text"])
        jax.jit(run).lower(*arguments).compile()
    except RlkitError as error:
        return {"refused": str(error)}
    return {"fine": True}


if __name__ == "__main__":
    main()
