# Sourced inside AzureCLI@2 with addSpnToEnvironment: hands the service connection's federated login on to Pulumi's providers.
set -euo pipefail
export ARM_USE_OIDC=true ARM_CLIENT_ID="$servicePrincipalId" ARM_TENANT_ID="$tenantId" ARM_OIDC_TOKEN="$idToken"
ARM_SUBSCRIPTION_ID=$(az account show --query id --output tsv)
export ARM_SUBSCRIPTION_ID
