"""``python -m his_server`` is ``his-server``."""

from his_server.cli import main

if __name__ == "__main__":
    main()
