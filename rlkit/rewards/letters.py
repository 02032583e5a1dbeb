"""What a text shows must be what is read: no hidden characters, no look-alikes in names."""

import io
import tokenize
import unicodedata

_HIDDEN = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")  # control, formatting, private, surrogates, separators


def hidden_character(text: str) -> tuple[int, str] | None:
    """The line and the name of a character that changes a text and is not seen; None if there is none.

    Tabs and ends of lines are no such characters, but a carriage return within a line is: Python begins a
    line there, and editors and terminals do not. Others turn the direction of writing around, erase what
    a terminal shows, or have no width.
    """
    for line, written in enumerate(text.split("\n"), 1):
        for letter in written.removesuffix("\r"):
            if letter != "\t" and unicodedata.category(letter) in _HIDDEN:
                what = "a NUL character" if letter == "\0" else f"a hidden character, U+{ord(letter):04X}"
                return line, what
    return None


def foreign_name(text: str) -> int:
    """The line of a name that has letters beyond ASCII as it is written; 0 if there is none.

    Python reads look-alikes of ASCII letters as those letters (NFKC), so that its syntax tree does not tell.

    Args:
      text: that Python's parser accepts.
    """
    if text.isascii():
        return 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and not token.string.isascii():
            return token.start[0]
    return 0
