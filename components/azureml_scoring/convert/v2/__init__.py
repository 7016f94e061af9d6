"""The YAML that `az ml online-endpoint create -f` and `online-deployment create -f` read, turned into a stack file.

https://learn.microsoft.com/azure/machine-learning/reference-yaml-endpoint-online
https://learn.microsoft.com/azure/machine-learning/reference-yaml-deployment-managed-online
https://learn.microsoft.com/azure/machine-learning/reference-yaml-deployment-kubernetes-online
"""
