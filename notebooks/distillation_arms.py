"""The arms of the study of distillation: what each run was, told by its configuration, that is, how
many layers its model has, and by which losses it was trained."""

from lib.analysis.display import count, spelled
from lib.analysis.predictions import Predictions

TEACHER = "teacher"
ALONE = "pretrained layers, labels alone"
CONTROL = "teacher's layers, labels alone"
METHODS = {  # by the losses that count, the labels aside; a plus adds to the method before it
    (): CONTROL,
    ("soft",): "soft labels",
    ("hidden", "soft"): "+ hidden states",
    ("attentions", "hidden", "soft"): "+ attentions",
}


def whole_name(method: str) -> str:
    """A method as a reader meets it, with what it adds to: `soft labels + hidden states`."""
    before = ""
    for name in METHODS.values():
        before = f"{before} {name}" if name.startswith("+") else name
        if name == method:
            return before
    return method


def method_of(config: dict) -> tuple[str, int]:
    """How a run's model was taught (its whole name), and its number of layers; 0 for the teacher,
    which has all."""
    distil = config.get("distil")
    if distil is None:
        return (ALONE, config["layers"]) if config.get("layers") else (TEACHER, 0)
    losses = tuple(sorted({*distil["weights"]} - {"hard"}))
    method = whole_name(METHODS.get(losses, " and ".join(losses)))
    return method, len(distil["student_layers"] or ())


def depth_name(layers: int) -> str:
    return count(layers, "layer")


def roles_across(p: Predictions) -> dict[str, str]:
    """What each run was that is about a student of another architecture than its teacher's: the
    teacher, the student, and the same model on labels alone."""
    configs = {key: run["config"] for key, run in p.trained.items()}
    roles = {}
    for key, config in configs.items():
        distil = config["distil"]
        if distil and distil["student_layers"] is None:
            teacher = distil["teacher"][:16]
            taught_by = _model(configs[teacher])
            roles[teacher] = f"{taught_by}, teacher"
            roles[key] = f"{_model(config)}, soft labels of {taught_by}"
    if roles:
        alone = {key: c for key, c in configs.items() if method_of(c)[0] == ALONE}
        most = max(config["layers"] for config in alone.values())  # all that it has
        for key, config in alone.items():
            if config["layers"] == most:
                roles[key] = f"{_model(config)}, labels alone"
    return roles


def _model(config: dict) -> str:
    return spelled(config["backbone"]).rpartition("/")[2]


def _with_own_layers(p: Predictions) -> dict[str, dict]:
    """The teachers, the students that start with some of their layers, and the students of these
    depths that start with pretrained ones."""
    configs = {key: run["config"] for key, run in p.trained.items()}
    cut = {method_of(config)[1] for config in configs.values() if config["distil"]}
    others = roles_across(p)
    return {
        key: p.runs[key]
        for key, config in configs.items()
        if key not in others or (method_of(config)[0] == ALONE and config["layers"] in cut)
    }


def named(p: Predictions, layers: int | None = None, *, references: bool = True) -> Predictions:
    """The runs with layers of their teacher, and it, with a field `student` (layers and method) to
    group by; of one depth, the method alone, and no teacher."""
    students = {}
    for key, run in _with_own_layers(p).items():
        method, depth = method_of(run["config"])
        if layers in (None, depth):
            is_alone = layers or method == TEACHER
            students[key] = method if is_alone else f"{depth_name(depth)}, {method}"
    if references:
        students |= dict.fromkeys(p.references, "")
    return p.with_field("student", students)


def depths(p: Predictions) -> list[int]:
    """The numbers of layers that students have."""
    students = [method_of(run["config"])[1] for run in _with_own_layers(p).values()]
    return sorted({*students} - {0})
