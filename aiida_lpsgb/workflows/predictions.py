"""What every potential says of configurations that were labelled, a job each."""

from __future__ import annotations

from aiida.engine import ProcessSpec, ToContext, WorkChain
from aiida.plugins import DataFactory, WorkflowFactory

from aiida_lpsgb.workflows.outputs import how_it_ended, named

MlpPredictBaseWorkChain = WorkflowFactory("lpsgb.mlp.predict.base")
ConfigurationsData = DataFactory("lpsgb.configurations")


class PredictionsMixin(WorkChain):
    """Steps of a work chain whose port `potentials` holds moment tensor potentials by name."""

    @staticmethod
    def expose_predictions(spec: ProcessSpec) -> None:
        """Declare the namespace `predict`."""
        spec.expose_inputs(
            MlpPredictBaseWorkChain, namespace="predict", exclude=("mlp.potential", "mlp.configurations")
        )

    def predict_with_all(self, configurations: ConfigurationsData) -> ToContext:
        """Let every potential predict the labels of configurations."""
        jobs = {}
        for name, potential in self.inputs.potentials.items():
            inputs = self.exposed_inputs(MlpPredictBaseWorkChain, namespace="predict")
            inputs.mlp.potential = potential
            inputs.mlp.configurations = configurations
            jobs[f"predicting_{name}"] = self.submit(MlpPredictBaseWorkChain, **named(f"predict_{name}", inputs))
        return ToContext(**jobs)

    def predictions(self) -> tuple[dict[str, ConfigurationsData], list[str]]:
        """Predictions by potential, and how the jobs that failed have ended."""
        jobs = {name: self.ctx[f"predicting_{name}"] for name in self.inputs.potentials}
        found = {name: job.outputs.configurations for name, job in jobs.items() if job.is_finished_ok}
        return found, [how_it_ended(job) for job in jobs.values() if not job.is_finished_ok]
