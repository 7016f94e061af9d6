"""The core of the local Azure: documents by ARM id, access control, long operations. No protocol, no service."""
