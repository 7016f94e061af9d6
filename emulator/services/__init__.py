"""What each Azure service demands and does, a module a service. No protocol: that is emulator/faces."""
