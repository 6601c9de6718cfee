"""Names the version of the HTTP interface."""

#: The major part changes with what breaks a client of the last release, the minor part with additions; a test compares with docs/openapi.json.
INTERFACE_VERSION = "2.1"
