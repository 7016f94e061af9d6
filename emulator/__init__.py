"""A local Azure for the services that the project's program uses, refusals included.

Imports nothing of the program, so that it cannot share the program's mistakes. Imports go one way, down this list:

- `process`, `lifecycle`, `__main__`: the one process, how it is found and ended, the command line
- `protocols/`: what clients speak: ARM REST, Entra, Graph, vaults, blobs, registry tokens, scoring, Pulumi's providers
- `services/PROVIDER/`: one package a resource provider, with the same file names in each:
    - `types.py`: its ARM types (`core.azure.ResourceType`): what a PUT demands, defaults, actions, deletion
    - `rules.py`: checks and defaults, pure
    - `access.py`: identities, passwords, tokens and signatures, and what they permit
    - `data.py`: the data plane, without its protocol: what lies in a vault, an account, a registry, the directory
    - `jobs.py`: long work: builds and image builds
- `backends/`: real programs and files that do the work: Docker engine, containers, registry servers, archives
- `core/`: documents by ARM id, the dispatcher, long operations, access control, ports
"""
