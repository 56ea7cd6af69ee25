/* A shared object that is no plugin. */
int nothing_of_weir(void);
int nothing_of_weir(void) {
    return 0;
}
