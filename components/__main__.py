"""Start the plugin from its folder (`python components`), as Pulumi's Python language host does."""

from azureml_scoring.provider.plugin import main

if __name__ == "__main__":
    main()
