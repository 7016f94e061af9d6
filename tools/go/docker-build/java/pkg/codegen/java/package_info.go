// Package java has the one type of Pulumi's generator of Java that pulumi-docker-build names.
package java

// PackageInfo is what the provider's schema says to that generator.
type PackageInfo struct {
	BuildFiles                      string            `json:"buildFiles,omitempty"`
	GradleNexusPublishPluginVersion string            `json:"gradleNexusPublishPluginVersion,omitempty"`
	Dependencies                    map[string]string `json:"dependencies,omitempty"`
}
