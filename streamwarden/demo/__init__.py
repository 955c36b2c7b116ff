"""The product in twenty seconds: publish, park, handle, release, tighten, reconcile."""

from streamwarden.demo.show import run_demo

__all__ = ["run_demo"]
