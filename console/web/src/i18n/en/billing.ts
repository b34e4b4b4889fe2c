export const billing = {
  title: 'Usage and billing',
};
