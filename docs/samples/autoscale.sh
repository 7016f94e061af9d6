azure="https://$ARM_METADATA_HOSTNAME"
token=$(curl --silent --show-error --fail --cacert "$REQUESTS_CA_BUNDLE" "$azure/$ARM_TENANT_ID/oauth2/v2.0/token" \
  --data grant_type=client_credentials --data "client_id=$ARM_CLIENT_ID" --data "scope=$azure/.default" \
  --data-urlencode "client_secret=$ARM_CLIENT_SECRET" | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
endpoint="$(pulumi stack output workspaceId)/onlineEndpoints/$(pulumi stack output endpointName)"
curl --silent --show-error --fail --cacert "$REQUESTS_CA_BUNDLE" --request PATCH \
  --header "Authorization: Bearer $token" --header 'Content-Type: application/json' \
  --data '{"sku": {"name": "Default", "capacity": 2}}' "$azure$endpoint/deployments/blue?api-version=2024-10-01"
