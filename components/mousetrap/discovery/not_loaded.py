"""Describes why a target was not loaded, and what helps."""

import sys
import traceback
from dataclasses import dataclass

from mousetrap.retry import error_kind, error_text
from mousetrap.settings import masked

#: Characters of an error's text.
_MAX_TEXT = 500

#: Where declarations are refused.
_DECLARATIONS = ("mousetrap.handlers.", "mousetrap.pipeline.", "mousetrap.retry.", "mousetrap.schedules.")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotLoaded:
    """A module or an object that is not served."""

    #: As it was given.
    target: str
    #: The module, or the object in it, that failed.
    name: str
    #: "file:line" of the module's code that failed; empty where no code did.
    place: str
    #: Without secrets.
    error: str
    #: Empty where the error has it.
    advice: str
    #: Whether the target itself failed, and not one of many modules in it.
    explicit: bool

    def __str__(self) -> str:
        at = f" ({self.place})" if self.place else ""
        return f"{self.name}{at}: {self.error}{f'; {self.advice}' if self.advice else ''}"


def not_imported(target: str, module: str, error: BaseException, *, explicit: bool) -> NotLoaded:
    """The import of `module` raised `error`."""
    return NotLoaded(
        target=target,
        name=module,
        place=_place(error),
        error=masked(f"{error_kind(error)}: {_text(error)}"),
        advice=_advice(module, error),
        explicit=explicit,
    )


def _text(error: BaseException) -> str:
    return str(error.msg) if isinstance(error, SyntaxError) else error_text(error, _MAX_TEXT)


def _place(error: BaseException) -> str:
    """The innermost line that is a module's own: below it are functions, which may be a library's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [it for it in traceback.extract_tb(error.__traceback__) if it.name == "<module>"]
    frames = [it for it in frames if not it.filename.startswith("<")]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _advice(module: str, error: BaseException) -> str:
    match error:
        case ModuleNotFoundError(name=str(name)) if _is_part(name, module):
            return (
                "name it as Python imports it from this folder, or as a path that ends in .py; "
                f"the path of imports begins with {', '.join(sys.path[:2])}"
            )
        case ModuleNotFoundError(name=str(name)):
            return f"install {name.partition('.')[0]} for {sys.executable}, or correct the import"
        case SyntaxError():
            return "correct this line"
        case SystemExit():
            return "it ends the program when it is imported: move that under `if __name__ == '__main__':`"
        case ValueError() if _is_ours(error):
            return ""
    return f"correct what the module does when it is imported; `python -c 'import {module}'` shows it all"


def _is_ours(error: BaseException) -> bool:
    """Whether a declaration was refused: that names the fix."""
    raised_in = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return raised_in[-1:] != [] and raised_in[-1].startswith(_DECLARATIONS)


def _is_part(name: str, module: str) -> bool:
    """Whether the module that is missing is the named one, or a package that it should be in."""
    return module == name or module.startswith(f"{name}.")
