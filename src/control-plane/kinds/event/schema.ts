/**
 * Layer control-plane. Schema of Event.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { META } from "../../registry/meta-schema.ts";
import { int32, message, microTime, ref, string, time } from "../../registry/schema.ts";
import { OBJECT_REFERENCE } from "../common/references.ts";

export const EVENT_SOURCE = message("io.k8s.api.core.v1.EventSource", "Who reports.", {
  component: string(1, "Program that reports."),
  host: string(2, "Node that it runs on."),
});

const EVENT_SERIES = message("io.k8s.api.core.v1.EventSeries", "Repetitions of an event.", {
  count: int32(1, "How many so far."),
  lastObservedTime: microTime(2, "When it last happened."),
});

export const EVENT = message(
  "io.k8s.api.core.v1.Event",
  "Something that happened to an object. Kept for an hour.",
  {
    metadata: META,
    involvedObject: ref(2, OBJECT_REFERENCE, "The object.", { required: true }),
    reason: string(3, "What happened, for machines."),
    message: string(4, "The same for people."),
    source: ref(5, EVENT_SOURCE, "Who reports."),
    firstTimestamp: time(6, "When it first happened."),
    lastTimestamp: time(7, "When it last happened."),
    count: int32(8, "How often it happened."),
    type: string(9, "Normal or Warning.", { enum: ["Normal", "Warning"] }),
    eventTime: microTime(10, "When it was first observed."),
    series: ref(11, EVENT_SERIES, "Repetitions.", { pointer: true }),
    action: string(12, "What was done about the object."),
    related: ref(13, OBJECT_REFERENCE, "A further object that has to do with it.", { pointer: true }),
    reportingComponent: string(14, "Controller that reports."),
    reportingInstance: string(15, "Which of its instances."),
  },
);
