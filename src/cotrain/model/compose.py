"""Model: encoders, sharing and heads put together, and the losses of a step.

Z = embed(x)   (W_k x_k + b_k)      h_k = sharing(Z)      y_k = head_k(h_k)
L_k = weight_k / scale_k x (all sums) / (all counts)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError, DataError, unknown
from cotrain.core.fields import Batch, Field, label_count
from cotrain.core.naming import slot
from cotrain.core.signals import Shape
from cotrain.core.spec import EncoderSettings, Head, Headed, HeadSettings, InputSpec, SharingSettings, Task
from cotrain.heads.linear import PooledHead, plain_head
from cotrain.model.answers import Answers
from cotrain.model.freezing import check_frozen, freeze_, modules_named, rest_
from cotrain.model.given import beside_parents, check_given, parent_of, with_parents
from cotrain.model.growing import take_over_
from cotrain.model.ingredients import check_ingredients
from cotrain.model.meeting import specs_of
from cotrain.model.members import loss_of_members
from cotrain.model.mixup import Mixing
from cotrain.model.partition import Part, partition
from cotrain.model.structure import structure_of
from cotrain.model.trunk import Trunk
from cotrain.sharing.hard import Hard


class Model(nn.Module):
    """One network for several tasks.

    encoder: settings of an encoder, or {source: settings}. sharing: settings of a sharing. tasks: what to predict.
    trunk, stages: an own `nn.Module` in place of an encoder, and its stages. head: settings for the tasks that bring none.
    heads: {task: module} in place of all that: a head, or a plain module on the pooled features, [B, D] -> [B, outputs].
    inputs: {task: names of the inputs it reads} for tasks that do not read all; the encoder is then a `Fused`. sources: {task: the source
    whose rows it has labels in}. together: groups of sources that go through one encoder; every other source has its own.
    The network is built when it knows its inputs: at once with `build(specs)`, or from the first batch it meets (`meet`).
    Raises ConfigError for no task, two of one name, both or none of encoder and trunk, stages without a trunk.

    >>> import torch
    >>> from cotrain.core.fields import Batch, Field
    >>> from cotrain.encoders import MLP
    >>> from cotrain.sharing import Hard
    >>> from cotrain.tasks import Binary, Regression
    >>> model = Model(encoder=MLP(widths=[8]), sharing=Hard(), tasks=[Binary("income"), Regression("age")])
    >>> batch = Batch({"x": Field.dense(torch.zeros(4, 3))}, {"age": Field.dense(torch.ones(4))})
    >>> sorted(model.meet(batch).losses([batch]))
    ['age']
    """

    def __init__(
        self,
        *,
        tasks: Sequence[Task],
        encoder: EncoderSettings | Mapping[str, EncoderSettings] | None = None,
        sharing: SharingSettings | None = None,
        trunk: nn.Module | None = None,
        stages: Sequence[nn.Module] = (),
        heads: Mapping[str, nn.Module] | None = None,
        head: HeadSettings | None = None,
        inputs: Mapping[str, Sequence[str]] | None = None,
        sources: Mapping[str, str] | None = None,
        together: Sequence[Collection[str]] = (),
    ) -> None:
        super().__init__()
        self._recipe: dict[str, Any] = {
            "encoder": encoder,
            "sharing": sharing,
            "trunk": trunk,
            "stages": tuple(stages),
            "heads": heads,
            "head": head,
            "inputs": dict(inputs or {}),
            "sources": dict(sources or {}),
            "together": tuple(together),
        }
        check_ingredients(self._recipe, [task.name for task in tasks])
        self.tasks: dict[str, Task] = {task.name: task for task in tasks}
        self.sources = {task.name: getattr(task, "source", None) for task in tasks} | self._recipe["sources"]
        check_given(self.tasks, self.sources)
        self._scales: dict[str, float] = dict.fromkeys(self.tasks, 1.0)
        self._agreed: set[str] = set()
        self.specs: Mapping[str, InputSpec] = {}
        """{source: {input: FieldSpec}} that the network was built for; empty until then."""
        self.frozen: tuple[str, ...] = ()
        """Names of the parts that are frozen (`freeze`)."""
        self._held: list[nn.Parameter] = []
        self._example: Mapping[str, Field] | None = None
        self.parts = nn.ModuleList()
        self.heads = nn.ModuleDict()

    # ---------------------------------------------------------------------------------------------------------- building

    @property
    def built(self) -> bool:
        return len(self.parts) > 0

    def build(self, specs: Mapping[str, InputSpec], example: Mapping[str, Field] | None = None) -> Model:
        """Make the layers for these inputs, {source: {input: FieldSpec}}; the same model, built. `example`: a batch for an own trunk.

        Where nothing is shared, a task with a `source` gets the encoder of that source only.
        """
        if self.built:
            raise ConfigError("this model is built already; make a new Model for other inputs")
        self.specs = {source: dict(spec) for source, spec in specs.items()}
        if example is not None and self._recipe["trunk"] is not None:
            few = torch.arange(min(2, len(next(iter(example.values())))))
            self._example = {name: field.select(few) for name, field in example.items()}
        encoder = self._encoders(specs, example)
        sharing = self._recipe["sharing"] or Hard()
        self.parts.extend(
            partition(self.sources, specs, encoder, sharing, self._recipe["inputs"], self._recipe["together"])
        )
        given: Mapping[str, nn.Module] = self._recipe["heads"] or {}
        for name in given:
            if name not in self.tasks:
                raise ConfigError("heads: " + unknown("task", name, list(self.tasks)))
        for part in cast(Sequence[Part], self.parts):
            if part.reads:
                cast(Any, part.sharing).meet({name: self.tasks[name].outputs for name in part.tasks})
            for name in part.tasks:
                self.heads[slot(name)] = self._head(self.tasks[name], part, given.get(name))
        return self

    def meet(self, batch: Batch) -> Model:
        """Build from a first batch if that has not been done, on the batch's device; the same model, built.

        An encoder of settings is given numbers only, since a batch cannot tell how many categories there are.
        """
        if self.built:
            return self
        batch.check()
        specs = specs_of(batch, own=self._recipe["trunk"] is not None)
        device = next(iter(batch.inputs.values())).values.device
        return self.build({batch.source: specs}, batch.inputs).to(device)

    def _encoders(
        self, specs: Mapping[str, InputSpec], example: Mapping[str, Field] | None
    ) -> Mapping[str, EncoderSettings]:
        trunk = self._recipe["trunk"]
        if trunk is not None:
            if example is None:
                raise ConfigError("an own trunk is built from a first batch: call model.meet(batch), or train it")
            own = Trunk(trunk, self._recipe["stages"], example)
            return dict.fromkeys(specs, own)
        encoder = self._recipe["encoder"]
        if isinstance(encoder, Mapping):
            missing = [source for source in specs if source not in encoder]
            if missing:
                raise ConfigError(f"encoder: no encoder for source {missing}; given: {', '.join(encoder)}")
            return encoder
        return dict.fromkeys(specs, encoder)

    def _head(self, task: Task, part: Part, given: nn.Module | None) -> nn.Module:
        shapes = part.shapes[task.name]
        head = self._fresh_head(task, shapes) if given is None else given
        if not hasattr(head, "generate"):
            head = PooledHead(head)
        wants = cast(Head, head).wants
        if wants not in ("vector", "pyramid") and wants != shapes[-1].layout:
            raise ConfigError(
                f"task '{task.name}': its head wants a {wants}, but the sharing gives it a {shapes[-1].layout}; "
                "choose another head, or an encoder of that layout"
            )
        return head

    def _fresh_head(self, task: Task, shapes: Sequence[Shape]) -> nn.Module:
        if task.outputs < 1:
            raise ConfigError(
                f"task '{task.name}' ({task.kind}): the number of classes is not known; give classes=..., or fit its codec on the data"
            )
        settings = task.head
        if settings is None:
            settings = self._recipe["head"] or plain_head(self._recipe["encoder"])
            settings = task.headed(settings) if isinstance(task, Headed) else settings
        return settings.build(shapes, task.outputs)

    def add_task(self, task: Task, head: nn.Module | None = None) -> tuple[str, ...]:
        """Learn one thing more: all that the network has keeps its values, what the task brings is drawn afresh. To be done before an
        optimiser or a Trainer is made: the layers are new objects. Where a layer holds all tasks at once (experts of `ple`, `cross_stitch`)
        it has another shape with one more, and begins anew.

        head: a module for it in place of settings. Answers the names of all tensors that begin anew; give them to `freeze(..., but=)`.
        Raises ConfigError for a name that is taken.
        """
        heads = {} if head is None else {"heads": {**(self._recipe["heads"] or {}), task.name: head}}
        whole = Model(tasks=[*self.tasks.values(), task], **{**self._recipe, **heads})
        fresh: list[str] = []
        if self.built:
            self.freeze()
            whole.build(self.specs, self._example).to(next(self.parameters()).device)
            fresh = take_over_(whole, self)
            self.parts, self.heads = whole.parts, whole.heads
        self.tasks, self.sources, self._recipe = whole.tasks, whole.sources, whole._recipe
        self._scales[task.name] = 1.0
        self.train(self.training)
        return tuple(fresh)

    def freeze(self, *names: str, but: Collection[str] = ()) -> Model:
        """Keep parts of a built network as they are, in place of those named before: their parameters take no gradient, and their layers
        stay in evaluation mode (dropout off, running figures of norms as they are). No name: nothing is frozen any more.

        names: encoder (what reads the inputs), sharing (the stages and what shares them), trunk (both), heads, heads.<task>.
        but: names of parameters that are trained all the same. Raises ConfigError for an unknown name, or if nothing would be left.
        """
        self._ready()
        check_frozen(names, list(self.tasks))
        for parameter in self._held:
            parameter.requires_grad_(True)
        spared = {id(parameter) for name, parameter in self.named_parameters() if name in but}
        self._held = freeze_(modules_named(self.parts, self.heads, names), spared)  # type: ignore[arg-type]
        self.frozen = tuple(names)
        return self.train(self.training)

    def train(self, mode: bool = True) -> Model:
        """Training mode for all layers but those of frozen parts."""
        super().train(mode)
        for module in modules_named(self.parts, self.heads, self.frozen) if mode else ():  # type: ignore[arg-type]
            rest_(module)
        return self

    # ----------------------------------------------------------------------------------------------------------- running

    def forward(self, batch: Batch, mixing: Mixing | None = None) -> dict[str, Tensor]:
        """{task: output}. While training, only tasks whose targets the batch holds; otherwise every task of its source too.

        Heads are shown their targets while training only. An ensemble inside the network answers member by member, [M * B, ...].
        """
        return self._run(batch, generate=False, mixing=mixing)

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """{task: output used for predictions}, as `head.generate` gives it, for every task of the batch's source; members are averaged."""
        return self._run(batch, generate=True)

    def _run(self, batch: Batch, *, generate: bool, mixing: Mixing | None = None) -> dict[str, Tensor]:
        self._ready()
        outputs: dict[str, Tensor] = {}
        wanted = [name for name in self.tasks if self._concerns(name, batch, generate=generate)]
        needed = with_parents(self.tasks, wanted)
        for part in cast(Sequence[Part], self.parts):
            here = [name for name in part.tasks if name in needed]
            if not here:
                continue
            shown = batch.targets if self.training else None
            answers = Answers(self.tasks, dict(self.heads.items()), targets=shown, generate=generate)
            signals = part(batch.source, batch.inputs, mixing, answers, here)
            outputs |= {name: answers.output(name, signals[name]) for name in here}
        return beside_parents(self.tasks, outputs, wanted)

    def _concerns(self, name: str, batch: Batch, *, generate: bool) -> bool:
        if name in batch.targets or (self.training and not generate):
            return name in batch.targets
        return self.sources[name] in (None, batch.source)

    def _ready(self) -> None:
        if not self.built:
            raise ConfigError(
                "this model has no layers yet: call model.build(specs), or model.meet(batch) with a first batch"
            )

    def counts(self, batches: Sequence[Batch]) -> dict[str, Tensor]:
        """{task: sum of weight x valid over these batches}, 0-dim float64, 0 where a task has no label."""
        totals = {name: torch.zeros((), dtype=torch.float64) for name in self.tasks}
        for batch in batches:
            for name, target in batch.targets.items():
                if name not in totals:
                    raise DataError(
                        f"the batch holds targets for '{name}', which is no task of this model: {', '.join(self.tasks)}"
                    )
                totals[name] = totals[name] + label_count(target, batch.weight).cpu()
        return totals

    def losses(
        self,
        batches: Sequence[Batch],
        counts: Mapping[str, Tensor] | None = None,
        mixings: Sequence[Mixing] | None = None,
    ) -> dict[str, Tensor]:
        """{task: L_k}, tasks without a label absent. `counts` replaces the denominators (accumulation, processes).

        mixings: how the rows of each batch are mixed (`cotrain.model.mixup`), or None; the denominators stay the same.
        Raises DataError if targets cannot be what their task says, ConfigError if a task's loss counts otherwise than `label_count`
        (both looked at once a task).
        """
        counts = self.counts(batches) if counts is None else counts
        factor = {
            name: self.tasks[name].weight / (self._scales[name] * float(count))
            for name, count in counts.items()
            if float(count) > 0
        }
        totals: dict[str, Tensor] = {}
        for place, batch in enumerate(batches):
            for name, (total, _) in self.totals(batch, factor, None if mixings is None else mixings[place]).items():
                totals[name] = total if name not in totals else totals[name] + total
        return {name: totals[name] * factor[name] for name in self.tasks if name in totals}

    def totals(
        self, batch: Batch, among: Collection[str] | None = None, mixing: Mixing | None = None
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """{task: (sum, count) of its own loss on one batch}, before weight and scale; with several members the mean over them.

        among: leave out the other tasks. Raises as `losses`.
        """
        outputs = self(batch, mixing)
        found = self._totals(outputs, batch, among)
        if mixing is not None:
            others = self._totals(outputs, mixing.partners(batch), among)
            found = {name: mixing.total(own, others[name]) for name, own in found.items()}
        return found

    def _totals(
        self, outputs: Mapping[str, Tensor], batch: Batch, among: Collection[str] | None
    ) -> dict[str, tuple[Tensor, Tensor]]:
        found: dict[str, tuple[Tensor, Tensor]] = {}
        for name, output in outputs.items():
            if name in batch.targets and (among is None or name in among):
                if name not in self._agreed:
                    self.tasks[name].check(batch.targets[name])
                members = self._part_of(name).shapes[name][-1].members
                found[name] = loss_of_members(self.tasks[name], output, batch.targets[name], batch.weight, members)
                self._agree(name, found[name][1], batch)
        return found

    def _part_of(self, name: str) -> Part:
        return next(part for part in cast(Sequence[Part], self.parts) if name in part.tasks)

    def _agree(self, name: str, count: Tensor, batch: Batch) -> None:
        if name not in self._agreed:
            expected = float(label_count(batch.targets[name], batch.weight))
            if abs(float(count) - expected) > 1e-4 * max(expected, 1e-12):
                raise ConfigError(
                    f"the loss of task '{name}' counts {float(count):g}, expected {expected:g}, the sum of weight x valid over its "
                    "values; let it answer weighted(element, target, weight) of cotrain.core.fields"
                )
            self._agreed.add(name)

    def penalty(self) -> Tensor | None:
        """What the sharings add to the objective, or None."""
        found = [
            one for part in cast(Sequence[Part], self.parts) if (one := cast(Any, part.sharing).penalty()) is not None
        ]
        return torch.stack(found).sum() if found else None

    def usage(self) -> dict[str, float]:
        """Figures of the sharing worth logging, of the last forward."""
        return {
            name: value
            for part in cast(Sequence[Part], self.parts)
            for name, value in cast(Any, part.sharing).usage().items()
        }

    # ------------------------------------------------------------------------------------------------------------- facts

    @property
    def scales(self) -> dict[str, float]:
        """{task: what its loss is divided by}; 1 until set."""
        return dict(self._scales)

    def set_scales(self, scales: Mapping[str, float]) -> None:
        """Divide each task's loss by this from now on. Raises ConfigError unless positive and finite."""
        for name, value in scales.items():
            if name not in self.tasks:
                raise ConfigError("loss scales: " + unknown("task", name, list(self.tasks)))
            if not 0 < value < float("inf"):
                raise ConfigError(f"loss scale of task '{name}' must be positive and finite, got {value}")
        self._scales |= {name: float(value) for name, value in scales.items()}

    def get_extra_state(self) -> dict[str, Tensor]:
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in self._scales.items()}

    def set_extra_state(self, state: Mapping[str, Tensor]) -> None:
        self.set_scales({name: float(value) for name, value in state.items() if name in self.tasks})

    @property
    def members(self) -> int:
        """How many members the ensemble inside the network has; 1 where there is none."""
        parts = cast(Sequence[Part], self.parts)
        return max((shapes[-1].members for part in parts for shapes in part.shapes.values()), default=1)

    def shared_parameters(self) -> list[nn.Parameter]:
        """Encoders and sharings, and heads that other tasks are shown; the engine narrows this to what two or more losses reach."""
        read = [one for part in cast(Sequence[Part], self.parts) for others in part.reads.values() for one in others]
        parents = [one for one in map(parent_of, self.tasks.values()) if one is not None]
        given = [self.heads[slot(one)] for one in dict.fromkeys([*parents, *read])]
        return [*self.parts.parameters(), *(parameter for head in given for parameter in head.parameters())]

    def structure(self) -> dict[str, Any]:
        """What the network is, as JSON: tasks, parameters, the shapes of each task's signals, layers that stay loops, loss scales."""
        self._ready()
        return structure_of(self, self.tasks, self.parts, self.heads, self.sources, self._scales)  # type: ignore[arg-type]
