"""`python -P -m services.gateway`: one process of the gateway."""

from services.gateway.life import main

if __name__ == "__main__":
    main()
