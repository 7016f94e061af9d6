import * as pulumi from "@pulumi/pulumi";
import { ScoringStack } from "azureml-scoring";

const config = new pulumi.Config();

const scoring = new ScoringStack("scoring", {
    location: "westeurope",
    registry: { mode: "standalone" },
    principal: { kind: "service-principal" },
    image: {
        context: config.require("context"),
        repository: "scoring/typescript",
        buildArguments: config.getObject<Record<string, string>>("buildArguments") ?? {},
    },
    deployments: {
        blue: {
            instanceType: "Standard_DS3_v2",
            livenessProbe: { initialDelay: "PT1S", period: "PT1S" },
            readinessProbe: { initialDelay: "PT1S", period: "PT1S" },
        },
    },
    tags: { program: "typescript" },
});

export const scoringUri = scoring.scoringUri;
export const image = scoring.image;
export const endpointId = pulumi.interpolate`${scoring.workspaceId}/onlineEndpoints/${scoring.endpointName}`;
