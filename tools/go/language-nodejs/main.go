// pulumi-language-nodejs runs Node.js programs by Pulumi's own language host of an older version, and adds what that lacks.
//
// The host of this version is in no module that can be had; the last one that can be (3.68, beside this program) runs
// programs of today's SDK, but cannot generate an SDK for `pulumi package add`. The code that does is in the engine's own
// module: here it is only called.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pulumi/pulumi/pkg/v3/codegen/nodejs"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
	hosts "github.com/pulumi/pulumi/pkg/v3/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/cmdutil"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
)

const oldHost = "pulumi-language-nodejs-3.68"

func main() {
	if err := serve(os.Args[1:]); err != nil {
		cmdutil.Exit(err)
	}
}

func serve(args []string) error {
	old, err := start(args)
	if err != nil {
		return err
	}
	stop := make(chan bool)
	if len(args) > 0 {
		// Without an engine there is nobody to serve: end with it.
		err := rpcutil.Healthcheck(context.Background(), args[len(args)-1], 5*time.Minute, func() { close(stop) })
		if err != nil {
			return err
		}
	}
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Cancel: stop,
		Init: func(server *grpc.Server) error {
			pulumirpc.RegisterLanguageRuntimeServer(server, &host{old: old})
			return nil
		},
	})
	if err != nil {
		return err
	}
	fmt.Println(handle.Port)
	return <-handle.Done
}

// start the older host and connect to it; what its programs write goes where it would have gone without us.
func start(args []string) (pulumirpc.LanguageRuntimeClient, error) {
	own, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.Command(filepath.Join(filepath.Dir(own), oldHost), args...)
	command.Stderr = os.Stderr
	pipe, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	output := bufio.NewReader(pipe)
	port, err := output.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("%s told no port: %w", oldHost, err)
	}
	go io.Copy(os.Stdout, output) //nolint:errcheck // ends with the host
	connection, err := grpc.NewClient("127.0.0.1:"+strings.TrimSpace(port),
		grpc.WithTransportCredentials(insecure.NewCredentials()), rpcutil.GrpcChannelOptions())
	if err != nil {
		return nil, err
	}
	return pulumirpc.NewLanguageRuntimeClient(connection), nil
}

type host struct {
	pulumirpc.UnimplementedLanguageRuntimeServer
	old pulumirpc.LanguageRuntimeClient
}

// GeneratePackage writes the SDK of a package, by the engine's own generator.
func (h *host) GeneratePackage(
	_ context.Context, request *pulumirpc.GeneratePackageRequest,
) (*pulumirpc.GeneratePackageResponse, error) {
	loader, err := schema.NewLoaderClient(request.LoaderTarget)
	if err != nil {
		return nil, err
	}
	var spec schema.PackageSpec
	if err := json.Unmarshal([]byte(request.Schema), &spec); err != nil {
		return nil, err
	}
	cached := schema.NewCachedLoader(loader)
	bound, found, err := schema.BindSpec(spec, cached, schema.ValidationOptions{AllowDanglingReferences: true})
	if err != nil {
		return nil, err
	}
	response := &pulumirpc.GeneratePackageResponse{Diagnostics: hosts.HclDiagnosticsToRPCDiagnostics(found)}
	if found.HasErrors() {
		return response, nil
	}
	files, err := nodejs.GeneratePackage("pulumi-language-nodejs", bound,
		request.ExtraFiles, request.LocalDependencies, request.Local, cached)
	if err != nil {
		return nil, err
	}
	for name, content := range files {
		path := filepath.Join(request.Directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return nil, err
		}
	}
	return response, nil
}

// Link makes generated SDKs dependencies of a program; `npm install` follows by itself.
func (h *host) Link(ctx context.Context, request *pulumirpc.LinkRequest) (*pulumirpc.LinkResponse, error) {
	var told strings.Builder
	for _, linked := range request.Packages {
		content, err := os.ReadFile(filepath.Join(request.Info.RootDirectory, linked.Path, "package.json"))
		if err != nil {
			return nil, err
		}
		var sdk struct {
			Name string `json:"name"`
		}
		if err := json.Unmarshal(content, &sdk); err != nil {
			return nil, err
		}
		command := exec.CommandContext(ctx, "npm", "pkg", "set", fmt.Sprintf("dependencies.%s=file:%s", sdk.Name, linked.Path))
		command.Dir = request.Info.ProgramDirectory
		if output, err := command.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("npm pkg set: %w: %s", err, output)
		}
		fmt.Fprintf(&told, "import * as %s from %q;\n", strings.ReplaceAll(linked.Package.Name, "-", "_"), sdk.Name)
	}
	return &pulumirpc.LinkResponse{ImportInstructions: told.String()}, nil
}

// -- what the older host does --------------------------------------------------------------------------------------

func (h *host) Run(ctx context.Context, request *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	return h.old.Run(ctx, request)
}

func (h *host) GetRequiredPlugins(
	ctx context.Context, request *pulumirpc.GetRequiredPluginsRequest,
) (*pulumirpc.GetRequiredPluginsResponse, error) {
	return h.old.GetRequiredPlugins(ctx, request)
}

func (h *host) GetPluginInfo(ctx context.Context, request *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return h.old.GetPluginInfo(ctx, request)
}

func (h *host) InstallDependencies(
	request *pulumirpc.InstallDependenciesRequest, server pulumirpc.LanguageRuntime_InstallDependenciesServer,
) error {
	stream, err := h.old.InstallDependencies(server.Context(), request)
	for err == nil {
		var part *pulumirpc.InstallDependenciesResponse
		if part, err = stream.Recv(); err == nil {
			err = server.Send(part)
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
