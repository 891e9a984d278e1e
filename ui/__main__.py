"""`python -m ui`: the page."""

import argparse
import os
import sys
from collections.abc import Sequence


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ui", description="Serve the page: ask the documents, open the sources, index folders."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (default: this computer only)")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--share", action="store_true", help="also through a public gradio.live link; needs --auth")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="ask for this login (or set KB_AUTH, which `ps` does not show)")
    parser.add_argument("--kb", metavar="NAME", help="knowledge base to start with")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until stopped. Exit code 2: it cannot be started like this; the reason is one sentence."""
    given = _arguments(argv)
    from kb import KBError, load_settings

    try:
        from ui.address import Address
        from ui.auth import parse_login

        auth = given.auth or os.environ.get("KB_AUTH")
        address = Address(given.host, given.port, given.share, parse_login(auth) if auth else None)
        address.check()
        from ui.app import serve

        serve(load_settings(), address, given.kb)
    except KBError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
