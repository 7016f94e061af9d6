// Package codegen has the one type of Pulumi's generator of C# that pulumi-docker-build names.
package codegen

// CSharpPackageInfo is what the provider's schema says to that generator.
type CSharpPackageInfo struct {
	RespectSchemaVersion bool              `json:"respectSchemaVersion,omitempty"`
	PackageReferences    map[string]string `json:"packageReferences,omitempty"`
}
