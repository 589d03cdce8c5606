/* Trains a network on handwritten digits: no Python, no library, only what graphdl exported.
 *
 *     train FOLDER EPOCHS
 *
 * FOLDER holds step.params, classify.params and digits.bin, written by export_digits.py.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classify.h"
#include "step.h"

enum { IMAGES = 1797, LEARNED = 1500, BATCH = 100, PIXELS = 64 };

static void fail(const char *what)
{
    fprintf(stderr, "train: %s\n", what);
    exit(1);
}

static void *memory(int64_t bytes)
{
    size_t rounded = ((size_t)bytes + STEP_ALIGNMENT - 1) / STEP_ALIGNMENT * STEP_ALIGNMENT;
    void *block = aligned_alloc(STEP_ALIGNMENT, rounded);
    if (!block)
        fail("out of memory");
    return block;
}

static void *contents(const char *folder, const char *name, int64_t bytes)
{
    char path[4096];
    void *block = memory(bytes);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file || fread(block, 1, (size_t)bytes, file) != (size_t)bytes)
        fail(path);
    fclose(file);
    return block;
}

static void check(int64_t status, const char *told)
{
    if (status)
        fail(told);
}

/* The classifier has a block of its own: the weights that the training step has learned go there. */
static void take_weights(void *classifier, void *trained)
{
    memcpy(CLASSIFY_P_0_WEIGHT(classifier), STEP_P_0_WEIGHT(trained), 64 * PIXELS * sizeof(float));
    memcpy(CLASSIFY_P_0_BIAS(classifier), STEP_P_0_BIAS(trained), 64 * sizeof(float));
    memcpy(CLASSIFY_P_2_WEIGHT(classifier), STEP_P_2_WEIGHT(trained), 10 * 64 * sizeof(float));
    memcpy(CLASSIFY_P_2_BIAS(classifier), STEP_P_2_BIAS(trained), 10 * sizeof(float));
}

int main(int count, char **arguments)
{
    if (count != 3)
        fail("usage: train FOLDER EPOCHS");
    const char *folder = arguments[1];
    int epochs = atoi(arguments[2]);

    float *images = contents(folder, "digits.bin", (int64_t)IMAGES * (PIXELS * 4 + 8));
    int64_t *labels = (int64_t *)(images + IMAGES * PIXELS);
    void *trained = contents(folder, "step.params", STEP_PARAMETERS_BYTES);
    void *classifier = contents(folder, "classify.params", CLASSIFY_PARAMETERS_BYTES);

    void *arena = memory(step_arena_bytes(BATCH));
    float loss = 0;
    for (int epoch = 1; epoch <= epochs; epoch++) {
        for (int64_t begin = 0; begin < LEARNED; begin += BATCH) {
            int64_t status = step(BATCH, images + begin * PIXELS, labels + begin, &loss, trained, arena);
            check(status, step_error(status));
        }
        printf("epoch %d: loss %.9g\n", epoch, loss);
    }
    free(arena);

    int64_t held_out = IMAGES - LEARNED, found[IMAGES - LEARNED], right = 0;
    arena = memory(classify_arena_bytes(held_out));
    take_weights(classifier, trained);
    int64_t status = classify(held_out, images + LEARNED * PIXELS, found, classifier, arena);
    check(status, classify_error(status));
    for (int64_t k = 0; k < held_out; k++)
        right += found[k] == labels[LEARNED + k];
    printf("%d of %d held-out images are recognised\n", (int)right, (int)held_out);

    free(arena);
    free(classifier);
    free(trained);
    free(images);
    return 0;
}
