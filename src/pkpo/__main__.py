"""`python -m pkpo`, for launchers that start modules."""

from pkpo.cli import main

if __name__ == "__main__":
    main()
