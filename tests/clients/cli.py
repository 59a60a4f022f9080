"""The published command line client as a person types it: `cli("create", "--name", "digest", …)`."""

from dataclasses import dataclass

from tests.clients.home import Home


@dataclass(frozen=True)
class Cli:
    """A call is a command that must work; `refuses` is one that must not. Both give what was printed."""

    home: Home

    def __call__(self, *words: str, typed: str = "") -> str:
        done = self.home.run("cueapi", *words, typed=typed)
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout

    def refuses(self, *words: str) -> str:
        """Its error, without the word "Error: " in front."""
        done = self.home.run("cueapi", *words)
        assert done.returncode == 1, f"{words}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done.stderr.removeprefix("Error: ").strip()

    def shown(self, *words: str) -> dict[str, str]:
        """The command's lines of the form `Label:  value`."""
        lines = [line.partition(": ") for line in self(*words).splitlines() if not line.startswith(" ")]
        return {label.strip(): value.strip() for label, colon, value in lines if colon}
